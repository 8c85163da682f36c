// calls WHAT CALLS - what breaker_calls does, with gobreaker's two-step breaker: `well` or `rejected`, on one thread.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/sony/gobreaker/v2"
)

// CPU time of the process, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func main() {
	runtime.GOMAXPROCS(1)
	what := os.Args[1]
	n, _ := strconv.ParseUint(os.Args[2], 10, 64)
	breaker := gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return what == "rejected" || (c.Requests >= 10 && float64(c.TotalFailures)/float64(c.Requests) > 0.4)
		},
	})
	if what == "rejected" {
		done, _ := breaker.Allow()
		done(errors.New("it opens"))
	}
	from := cpu()
	for i := uint64(0); i < n; i++ {
		done, err := breaker.Allow()
		if (err != nil) != (what == "rejected") {
			os.Exit(1)
		}
		if err == nil {
			done(nil)
		}
	}
	fmt.Printf("{\"calls\": %d, \"cpu_ns\": %d}\n", n, cpu()-from)
}
