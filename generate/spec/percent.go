package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Percent is a share in millionths of the whole, so that 99.5% is 995,000 and
// every share that can be written is exact.
type Percent int

// Whole is 100%.
const Whole Percent = 1_000_000

var percentText = regexp.MustCompile(`^(\d{1,3})(?:\.(\d{1,4}))?%$`)

// parsePercent reads 99%, 99.5% or 99.9999%.
func parsePercent(text string) (Percent, bool) {
	match := percentText.FindStringSubmatch(text)
	if match == nil {
		return 0, false
	}
	fraction := match[2] + strings.Repeat("0", 4-len(match[2]))
	millionths, err := strconv.Atoi(match[1] + fraction)
	return Percent(millionths), err == nil
}

// String writes the share as the spec would: 99.5%.
func (p Percent) String() string {
	text := fmt.Sprintf("%d.%04d", int(p)/10_000, int(p)%10_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
}

// percent reads a share above 0% and below 100%.
func (r *reader) percent(n *Node) Value[Percent] {
	text, ok := r.scalar(n, "a percentage such as 99.5%")
	if !ok {
		return Value[Percent]{}
	}
	p, ok := parsePercent(text)
	switch {
	case !ok:
		r.wrong(n, percentHint(text), "%q is not a percentage such as 99%% or 99.95%%", shorten(text))
		return Value[Percent]{}
	case p == 0:
		r.wrong(n, "", "0%% promises nothing; a share above 0%% and below 100%% is expected here")
		return Value[Percent]{}
	case p >= Whole:
		r.wrong(n, "write how much is enough, such as 99.9%", "%s leaves no failure to spend; a share above 0%% and below 100%% is expected here", p)
		return Value[Percent]{}
	}
	return value(r, n, p)
}

// percentOrNone reads a share, or `none` as 0.
func (r *reader) percentOrNone(n *Node) Value[Percent] {
	if n.Kind == Scalar && n.Text == "none" {
		return value[Percent](r, n, 0)
	}
	return r.percent(n)
}

// percentHint suggests what may have been meant by text that is no percentage.
func percentHint(text string) string {
	number, signed := strings.CutSuffix(strings.ReplaceAll(strings.ReplaceAll(text, ",", "."), " ", ""), "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || share <= 0 || share >= 100 {
		return ""
	}
	if !signed && share < 1 {
		number = strconv.FormatFloat(share*100, 'f', -1, 64)
	}
	if _, ok := parsePercent(number + "%"); ok {
		return "write " + number + "%"
	}
	return "write at most four digits after the point"
}
