// graphile-worker as a contestant: `node graphile.mjs JOB`, the spec as one line
// of JSON on stdin, the result as one on stdout, as package lab expects.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Logger, makeWorkerUtils, run } from "graphile-worker";

// The settings of its own performance test; see graphile.go, which reports them.
const settings = JSON.parse(process.argv[3]);

// Only what a run should not have, and on stderr: stdout is for the result.
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

const noop = (i) => ({ identifier: "bench_noop", payload: { user_id: i + 1, template: "welcome" } });

const jobs = {
  // Making the tables is what makeWorkerUtils and migrate do.
  prepare: (spec) => withUtils(spec, async () => ({})),
  fill: enqueueBatches,
  bulk: enqueueBatches,
  drain,
};

async function withUtils(spec, use) {
  const utils = await makeWorkerUtils({ connectionString: spec.url, logger });
  try {
    await utils.migrate();
    return await use(utils);
  } finally {
    await utils.release();
  }
}

function enqueueBatches(spec) {
  return withUtils(spec, async (utils) => {
    const began = performance.now();
    for (let done = 0; done < spec.tasks; ) {
      const n = Math.min(spec.batch, spec.tasks - done);
      const added = await utils.addJobs(Array.from({ length: n }, (_, i) => noop(i)));
      if (added.length !== n) throw new Error(`${added.length} jobs came back for a batch of ${n}`);
      done += n;
    }
    return timed(spec.tasks, began);
  });
}

// From the start of a worker to the end of its stop.
async function drain(spec) {
  let count = 0;
  let finished;
  const all = new Promise((resolve) => (finished = resolve));
  const began = performance.now();
  const runner = await run({
    connectionString: spec.url,
    logger,
    noHandleSignals: true,
    preset: { worker: settings },
    taskList: {
      bench_noop: () => {
        if (++count === spec.tasks) finished();
      },
    },
  });
  await all;
  await runner.stop();
  return timed(count, began);
}

function timed(tasks, began) {
  return { tasks, seconds: (performance.now() - began) / 1000 };
}

const lines = createInterface({ input: process.stdin });
const [text] = await once(lines, "line");
lines.close();
const result = await jobs[process.argv[2]](JSON.parse(text));
process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
