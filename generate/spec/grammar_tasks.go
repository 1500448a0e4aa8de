package spec

import "strings"

func (p *parser) task(r *reader, key, n *Node) {
	name, ok := p.declared(r, key, taskName, taskWhat, maxTaskNameLength)
	if ok && strings.HasPrefix(name.V, "orchestrator:") {
		r.wrong(key, "begin it with another word", "names that begin with orchestrator: are the engine's own")
	}
	at := &reader{bag: r.bag, origin: "task"}
	t := &Task{Name: name, Description: doc(r, key), Settings: &Settings{}}
	own := []entry{
		{"description", func(_, v *Node) { t.Description = at.description(v) }},
		{"deprecated", func(_, v *Node) { t.Deprecated = at.deprecated(v) }},
		{"go_name", func(_, v *Node) { t.GoName = at.goIdentifier(v) }},
		{"policy", func(_, v *Node) {
			if text, ok := at.scalar(v, "the name of a policy"); ok {
				t.Policy = value(at, v, text)
			}
		}},
		{"payload", func(k, v *Node) { t.Payload = at.body(k, v) }},
		{"result", func(k, v *Node) { t.Result = at.body(k, v) }},
	}
	at.mapping(n, misplaced, append(own, at.settings(t.Settings)...))
	if ok {
		p.file.Tasks = append(p.file.Tasks, t)
	}
}

func (p *parser) schedule(r *reader, key, n *Node) {
	name, ok := p.declared(r, key, snakeName, snakeWhat, maxNameLength)
	s := &Schedule{Name: name, Description: doc(r, key)}
	text := func(v *Node, what string) Value[string] {
		if text, ok := r.scalar(v, what); ok {
			return value(r, v, text)
		}
		return Value[string]{}
	}
	seen := make(map[string]bool)
	entries := []entry{
		{"description", func(_, v *Node) { s.Description = r.description(v) }},
		{"go_name", func(_, v *Node) { s.GoName = r.goIdentifier(v) }},
		{"task", func(_, v *Node) { s.Task = text(v, "the name of a task") }},
		{"cron", func(_, v *Node) { s.Cron = text(v, "a cron expression in quotes") }},
		{"timezone", func(_, v *Node) { s.Timezone = text(v, "a time zone such as Europe/Lisbon") }},
		{"payload", func(_, v *Node) { s.Payload = v }},
		{"missed", func(_, v *Node) { s.Missed = r.word(v, "skip", "run_once", "run_all") }},
		{"overlap", func(_, v *Node) { s.Overlap = r.word(v, "allow", "skip") }},
	}
	for i, e := range entries {
		entries[i].read = func(k, v *Node) { seen[e.key] = true; e.read(k, v) }
	}
	before := r.bag.Len()
	r.mapping(n, map[string]string{"queue": "it belongs to the task"}, entries)
	if n.Kind != Invalid && r.bag.Len() == before {
		// After another mistake, such as a missing space, these would only
		// repeat it.
		if !seen["task"] {
			r.wrong(key, "write `task: \"report:digest\"`", "the schedule has no task")
		}
		if !seen["cron"] {
			r.wrong(key, "write `cron: \"0 3 * * *\"`", "the schedule has no cron expression")
		}
	}
	if ok {
		p.file.Schedules = append(p.file.Schedules, s)
	}
}
