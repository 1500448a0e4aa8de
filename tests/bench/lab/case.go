package lab

import "context"

// Case is one row of the comparison: what is measured, of whom, and what is to
// be reached.
type Case struct {
	// Name is what --cases takes; Title what the report says.
	Name, Title string
	// Notes tell the reader what decides about the figures: task counts,
	// settings of this case, what is measured from where to where.
	Notes []string
	// Unit is that of Measure.Value, such as "tasks/s" or "ms".
	Unit string
	// Contestants take turns in every round. Cases of one queue alone name its
	// variants.
	Contestants []string
	Targets     []Target
	// Rounds replaces the number of rounds of the run; 0 is the run's.
	Rounds int
	// OnRequest leaves the case out of a run of all: it takes long.
	OnRequest bool
	// Present says why a contestant cannot take part on this machine; nil
	// means that all can.
	Present func(ctx context.Context, lab *Lab, contestant string) error
	// Round measures one contestant once.
	Round func(ctx context.Context, lab *Lab, contestant string) (Measure, error)
}

// Target is what a contestant is to reach: a ratio to another one's figure of
// the same round or, without Against, a figure. One of AtLeast and AtMost is
// set.
type Target struct {
	Contestant string
	Against    string
	// Figure names one of Measure.Figures; empty means Measure.Value.
	Figure          string
	AtLeast, AtMost float64
}

// Measure is what one round gave for one contestant. Zeros are left out of the
// report.
type Measure struct {
	// Value is what the case is about, in Case.Unit.
	Value float64
	// Figures are further ones, in the order of their columns.
	Figures []Figure
	// Tasks is what the counts below are divided by.
	Tasks int
	// Observed is what PostgreSQL did meanwhile.
	Observed
	// Usage is what the contestant's processes took.
	Usage
	// Course is how figures went on during the round; the report shows that of
	// the last one. nil is none.
	Course *Course
}

// Course is figures at moments of a round.
type Course struct {
	Columns []string // the first is the moment
	Rows    [][]float64
}

// Figure is a further figure of a measure.
type Figure struct {
	Name, Unit string
	Value      float64
}

// figure is the one named; "" is the value itself.
func (m Measure) figure(name string) (float64, bool) {
	if name == "" {
		return m.Value, true
	}
	for _, f := range m.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}
