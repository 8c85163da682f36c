// Package race: what every program of the races in Go prints, and the clocks it reads.
package race

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func cpuNs() int64 {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return used.Utime.Nano() + used.Stime.Nano()
}

type Stopwatch struct {
	cpu  int64
	wall time.Time
}

func Start() Stopwatch { return Stopwatch{cpuNs(), time.Now()} }

func (w Stopwatch) Print(operations, result uint64, more string) {
	fmt.Printf("{\"operations\": %d, \"cpu_ns\": %d, \"wall_ns\": %d, \"result\": %d%s}\n",
		operations, cpuNs()-w.cpu, time.Since(w.wall).Nanoseconds(), result, more)
}

// Argument is the number at a place of the command line.
func Argument(at int) uint64 {
	if at >= len(os.Args) {
		fmt.Fprintln(os.Stderr, "an argument is missing; see bench/race/README.md")
		os.Exit(2)
	}
	value, _ := strconv.ParseUint(os.Args[at], 10, 64)
	return value
}

// Workers sets the number of threads that run goroutines to the first argument.
func Workers() { runtime.GOMAXPROCS(int(Argument(1))) }

// ResidentBytes is what memory of this process is resident.
func ResidentBytes() int64 {
	text, _ := os.ReadFile("/proc/self/smaps_rollup")
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Rss:" {
			kib, _ := strconv.ParseInt(words[1], 10, 64)
			return kib * 1024
		}
	}
	return -1
}
