// A small development server. PORT says where it listens.
const http = require('node:http');

const server = http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(request.url === '/health' ? 'ok\n' : `hello from process ${process.pid}\n`);
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

function stop() {
  server.close(() => process.exit(0));
}
process.on('SIGTERM', stop);
// Its worker holds the other end: when even a killed one lets go, this is over.
process.stdin.on('end', stop).resume();
