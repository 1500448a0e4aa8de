package orchestrator

import "strings"

// Mux routes tasks to handlers by type. Register everything before the worker
// starts; a Mux must not change afterwards.
type Mux struct {
	routes     map[string]*route
	middleware []Middleware
	schedules  []Schedule
}

// Middleware wraps every handler of a [Mux]; the first one given to [Mux.Use]
// runs outermost.
type Middleware func(next Handler) Handler

type route struct {
	definition *Definition // nil: registered by HandleFunc, takes its definition from the database
	handler    Handler
}

// NewMux returns an empty Mux.
func NewMux() *Mux { return &Mux{routes: map[string]*route{}} }

// Use adds middleware for all handlers, those registered earlier included.
func (m *Mux) Use(middleware ...Middleware) { m.middleware = append(m.middleware, middleware...) }

// Handle registers the handler of a declared task type; generated Register
// functions call it. It panics when the type has a handler already.
func (m *Mux) Handle(d *Definition, h Handler) { m.add(d.Name, &route{definition: d, handler: h}) }

// HandleFunc registers a handler for a task type by name, without generated
// code. It takes tasks of every contract stored for the type; their payloads
// were validated on their way in. It panics when the type has a handler already.
func (m *Mux) HandleFunc(name string, f HandlerFunc) { m.add(name, &route{handler: f}) }

// Schedule declares schedules; the generated Register calls it.
func (m *Mux) Schedule(schedules ...Schedule) { m.schedules = append(m.schedules, schedules...) }

func (m *Mux) add(name string, r *route) {
	if strings.HasPrefix(name, enginePrefix) {
		panic("orchestrator: task type " + name + ": names that begin with " + enginePrefix + " are the engine's own")
	}
	if _, taken := m.routes[name]; taken {
		panic("orchestrator: task type " + name + " already has a handler")
	}
	m.routes[name] = r
}
