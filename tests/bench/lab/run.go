package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Outcome is what a case gave.
type Outcome struct {
	Case Case
	// Took part, in the order of the case; Absent says why others did not.
	Contestants []string
	Absent      map[string]string
	// Rounds has a measure a contestant, by name; one that failed is missing.
	Rounds []map[string]Measure
	// Fsync is that of the disk before each round.
	Fsync []Fsync
	Took  time.Duration
	Err   error
}

// runCase runs a case: in every round each contestant once, in [turn]'s order.
// An error ends the case and stands in the outcome, with what was
// measured until then.
func (l *Lab) runCase(ctx context.Context, c Case, rounds int, wanted func(contestant string) bool) (o Outcome) {
	o = Outcome{Case: c, Absent: map[string]string{}}
	began := time.Now()
	defer func() { o.Took = time.Since(began) }()
	for _, name := range c.Contestants {
		if !wanted(name) {
			o.Absent[name] = "not asked for"
			continue
		}
		if c.Present != nil {
			if err := c.Present(ctx, l, name); err != nil {
				o.Absent[name] = err.Error()
				l.Logf("%s: without %s: %v", c.Name, name, err)
				continue
			}
		}
		o.Contestants = append(o.Contestants, name)
	}
	if c.Rounds > 0 {
		rounds = c.Rounds
	}
	for round := range rounds {
		if len(o.Contestants) == 0 {
			return o
		}
		sync, err := l.fsync()
		if err != nil {
			o.Err = fmt.Errorf("case %s, round %d: %w", c.Name, round+1, err)
			return o
		}
		o.Fsync, o.Rounds = append(o.Fsync, sync), append(o.Rounds, map[string]Measure{})
		l.Logf("%s, round %d of %d: fsync %s, at most %s", c.Name, round+1, rounds, sync.P50.Round(time.Microsecond), sync.Max.Round(time.Microsecond))
		for i := range o.Contestants {
			name := o.Contestants[turn(len(o.Contestants), round, i)]
			m, err := c.Round(ctx, l, name)
			if err != nil {
				o.Err = fmt.Errorf("case %s, contestant %s, round %d: %w", c.Name, name, round+1, err)
				return o
			}
			o.Rounds[round][name] = m
			l.Logf("  %-16s %12.4g %s%s", name, m.Value, c.Unit, figuresText(m.Figures))
		}
	}
	return o
}

// turn is which of n contestants comes i-th in a round. What one leaves behind
// (pages to be written, a cool or a hot processor) is the next one's lot, so
// nobody should always follow the same: of an even number each follows each
// other once in n rounds (E. J. Williams, 1949, "Experimental designs balanced
// for the estimation of residual effects of treatments").
func turn(n, round, i int) int {
	if i%2 == 1 {
		i = (i + 1) / 2
	} else {
		i = n - i/2
	}
	return (i + round) % n
}

func figuresText(figures []Figure) (text string) {
	for _, f := range figures {
		text += fmt.Sprintf(", %s %.4g %s", f.Name, f.Value, f.Unit)
	}
	return text
}

// Spread is a median with the least and the most.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf sorts values; there is at least one.
func SpreadOf(values []float64) Spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Spread is that of a contestant's figure over the rounds ("" is its value);
// false when there is none.
func (o Outcome) Spread(contestant, figure string) (Spread, bool) {
	return o.Over(contestant, func(m Measure) (float64, bool) { return m.figure(figure) })
}

// Over is the spread of what of takes from a contestant's measures.
func (o Outcome) Over(contestant string, of func(Measure) (float64, bool)) (Spread, bool) {
	var values []float64
	for _, round := range o.Rounds {
		if m, measured := round[contestant]; measured {
			if v, has := of(m); has {
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		return Spread{}, false
	}
	return SpreadOf(values), true
}

// Verdict is what became of a target.
type Verdict struct {
	Target Target
	// Reached is of the ratios of the rounds, or of the figure itself.
	Reached Spread
	Met     bool
	// Open says why there is no verdict; "" when there is one.
	Open string
}

// Verdicts are those of the case's targets: of a ratio, the median of the
// rounds' own ratios, since a disturbance of a round falls on both.
func (o Outcome) Verdicts() []Verdict {
	all := make([]Verdict, len(o.Case.Targets))
	for i, t := range o.Case.Targets {
		all[i] = o.verdict(t)
	}
	return all
}

func (o Outcome) verdict(t Target) Verdict {
	var reached []float64
	for _, round := range o.Rounds {
		m, measured := round[t.Contestant]
		own, has := m.figure(t.Figure)
		if !measured || !has {
			continue
		}
		if t.Against == "" {
			reached = append(reached, own)
			continue
		}
		m, measured = round[t.Against]
		if other, has := m.figure(t.Figure); measured && has && other != 0 {
			reached = append(reached, own/other)
		}
	}
	v := Verdict{Target: t}
	if len(reached) == 0 {
		v.Open = "not measured"
		for _, name := range []string{t.Contestant, t.Against} {
			if reason, absent := o.Absent[name]; absent {
				v.Open = name + " is absent: " + reason
			}
		}
		return v
	}
	v.Reached = SpreadOf(reached)
	v.Met = v.Reached.Median >= t.AtLeast && (t.AtMost == 0 || v.Reached.Median <= t.AtMost)
	return v
}

// RunAll runs cases one after the other, tells each outcome, and returns the
// errors of all.
func (l *Lab) RunAll(ctx context.Context, cases []Case, rounds int, wanted func(string) bool, tell func(Outcome) error) error {
	var errs []error
	for _, c := range cases {
		o := l.runCase(ctx, c, rounds, wanted)
		if o.Err != nil {
			l.Logf("%v", o.Err)
		}
		errs = append(errs, o.Err, tell(o))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
