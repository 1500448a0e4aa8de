package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells people how far the job is: a live bar on a terminal, elsewhere
// a line for every tenth of the way.
type progress struct {
	w     io.Writer
	total int
	bar   *progressbar.ProgressBar // nil: lines
	done  int
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{w: w, total: total}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription("indexing"),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("files"),
			progressbar.OptionThrottle(50*time.Millisecond),
		)
	}
	return p
}

// add is one more task done.
func (p *progress) add() {
	if p.bar != nil {
		_ = p.bar.Add(1)
		return
	}
	p.done++
	if tenth := 10 * p.done / p.total; tenth != 10*(p.done-1)/p.total {
		fmt.Fprintf(p.w, "%3d %%  %s of %s\n", 10*tenth, thousands(p.done), thousands(p.total))
	}
}

// end leaves the bar as it stands and goes on below it.
func (p *progress) end() {
	if p.bar != nil {
		fmt.Fprintln(p.w)
	}
}
