// What gobreaker answers, step by step, in the time of a synctest bubble: it moves when everybody sleeps, and by exactly as much as is
// slept. Run by record.py.
//
//	LEVITY_TRACES=N LEVITY_SEED=S go test -run Record -args OUT     N traces of chance, with the answers
//	go test -run Record -args OUT IN                                the steps of IN, answered again
//
// The form of a trace stands in the first lines of the file.
package levity_gobreaker

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

const head = `# What github.com/sony/gobreaker/v2 v2.4.0 answers; recorded by tests/gobreaker/record.py, which tells how to do so anew.
# A line is a breaker of its own: its settings, "|", and the steps, each with what it answered behind "=".
#   m MaxRequests   i Interval   b BucketPeriod   t Timeout   in microseconds
#   d the default ReadyToTrip   cN ConsecutiveFailures > N   rN/P Requests >= N && TotalFailures/Requests > P %
#   +N    N microseconds pass
#   a     Allow: y a permit, the next number from 0; o ErrOpenState; h ErrTooManyRequests
#   sN fN nN   the call of permit N ended: no error, an error, an excluded one
#   q     State and Counts: state letter, requests/successes/failures/exclusions/successes in a row/failures in a row
# ">xy" behind an answer: the state changed from x to y in this step; c closed, h half-open, o open.
`

var letters = map[gobreaker.State]string{
	gobreaker.StateClosed: "c", gobreaker.StateHalfOpen: "h", gobreaker.StateOpen: "o",
}

var errFailed, errExcluded = errors.New("failed"), errors.New("excluded")

type peer struct {
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	done    []func(error)
	changes string
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func newPeer(settings string) *peer {
	p := &peer{}
	st := gobreaker.Settings{
		OnStateChange: func(_ string, from, to gobreaker.State) { p.changes += ">" + letters[from] + letters[to] },
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
	}
	for _, each := range strings.Fields(settings) {
		value := each[1:]
		switch each[0] {
		case 'm':
			st.MaxRequests = uint32(number(value))
		case 'i':
			st.Interval = time.Duration(number(value)) * time.Microsecond
		case 'b':
			st.BucketPeriod = time.Duration(number(value)) * time.Microsecond
		case 't':
			st.Timeout = time.Duration(number(value)) * time.Microsecond
		case 'c':
			over := uint32(number(value))
			st.ReadyToTrip = func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > over }
		case 'r':
			requests, percent, _ := strings.Cut(value, "/")
			least, over := uint32(number(requests)), float64(number(percent))/100
			st.ReadyToTrip = func(c gobreaker.Counts) bool {
				return c.Requests >= least && float64(c.TotalFailures)/float64(c.Requests) > over
			}
		}
	}
	p.breaker = gobreaker.NewTwoStepCircuitBreaker[any](st)
	return p
}

// One step, as it is to be written.
func (p *peer) does(step string) string {
	p.changes = ""
	answer := ""
	switch step[0] {
	case '+':
		time.Sleep(time.Duration(number(step[1:])) * time.Microsecond)
	case 'a':
		done, err := p.breaker.Allow()
		switch {
		case err == nil:
			answer = "y"
			p.done = append(p.done, done)
		case errors.Is(err, gobreaker.ErrOpenState):
			answer = "o"
		default:
			answer = "h"
		}
	case 's', 'f', 'n':
		p.done[number(step[1:])](map[byte]error{'s': nil, 'f': errFailed, 'n': errExcluded}[step[0]])
	case 'q':
		state, c := p.breaker.State(), p.breaker.Counts()
		answer = fmt.Sprintf("%s%d/%d/%d/%d/%d/%d", letters[state], c.Requests, c.TotalSuccesses, c.TotalFailures,
			c.TotalExclusions, c.ConsecutiveSuccesses, c.ConsecutiveFailures)
	}
	if answer+p.changes == "" {
		return step
	}
	return step + "=" + answer + p.changes
}

func pick(r *rand.Rand, from ...uint64) uint64 { return from[r.IntN(len(from))] }

// A breaker and what happens to it, by chance: calls that overlap, failures in spells, and steps of time to the very moment at which
// something ends, and just beyond.
func chance(r *rand.Rand) string {
	interval, bucket := uint64(0), uint64(0)
	if r.IntN(2) == 0 {
		interval = pick(r, 10, 30, 100)
		if r.IntN(2) == 0 {
			bucket = pick(r, 3, 5, 10, 40)
		}
	}
	timeout := pick(r, 0, 7, 20, 50)
	rule := []string{"d", "c0", "c2", "r10/40", "r5/50", "r3/33", "r1/0"}[r.IntN(7)]
	settings := fmt.Sprintf("m%d i%d b%d t%d %s", pick(r, 0, 1, 1, 2, 3, 5), interval, bucket, timeout, rule)
	kept := timeout
	if kept == 0 {
		kept = 60_000_000
	}

	p := newPeer(settings)
	steps := []string{p.does("q")}
	open := []int{} // permits without a verdict
	failing := r.Float64()
	for range 20 + r.IntN(50) {
		if r.IntN(12) == 0 {
			failing = []float64{0.05, 0.3, 0.5, 0.95}[r.IntN(4)]
		}
		step := ""
		switch dice := r.IntN(100); {
		case dice < 12:
			step = fmt.Sprintf("+%d", pick(r, kept, kept+1, kept-1, 1, interval+1, interval, bucket+1, 2*bucket+1, kept/2+1))
		case dice < 22:
			step = fmt.Sprintf("+%d", 1+r.IntN(6))
		case dice < 30:
			step = "q"
		case dice < 62 || len(open) == 0:
			step = "a"
		default:
			at := r.IntN(len(open))
			if r.IntN(3) != 0 {
				at = 0 // usually the oldest
			}
			kind := "s"
			if r.Float64() < failing {
				kind = "f"
			} else if r.IntN(8) == 0 {
				kind = "n"
			}
			step = fmt.Sprintf("%s%d", kind, open[at])
			open = append(open[:at], open[at+1:]...)
		}
		given := len(p.done)
		steps = append(steps, p.does(step))
		if len(p.done) > given {
			open = append(open, given)
		}
	}
	steps = append(steps, p.does("q"))
	return settings + " | " + strings.Join(steps, " ")
}

func again(line string) string {
	settings, steps, _ := strings.Cut(line, " | ")
	p := newPeer(settings)
	made := []string{}
	for _, each := range strings.Fields(steps) {
		step, _, _ := strings.Cut(each, "=")
		made = append(made, p.does(step))
	}
	return settings + " | " + strings.Join(made, " ")
}

func TestRecord(t *testing.T) {
	if flag.NArg() < 1 {
		t.Skip("run by record.py")
	}
	out, err := os.Create(flag.Arg(0))
	if err != nil {
		t.Fatal(err)
	}
	writer := bufio.NewWriter(out)
	writer.WriteString(head)
	synctest.Test(t, func(t *testing.T) {
		if flag.NArg() < 2 {
			r := rand.New(rand.NewPCG(number(os.Getenv("LEVITY_SEED")), 0))
			for range number(os.Getenv("LEVITY_TRACES")) {
				fmt.Fprintln(writer, chance(r))
			}
			return
		}
		given, err := os.ReadFile(flag.Arg(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(given)), "\n") {
			if !strings.HasPrefix(line, "#") {
				fmt.Fprintln(writer, again(line))
			}
		}
	})
	if err := errors.Join(writer.Flush(), out.Close()); err != nil {
		t.Fatal(err)
	}
}
