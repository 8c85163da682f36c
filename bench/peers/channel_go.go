// channel_go VALUES CAPACITY - what a value costs from one goroutine to another through a channel, on one thread of Go's scheduler.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// CPU time of the process, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func moves(values uint64, capacity int) int64 {
	ch := make(chan uint64, capacity)
	from := cpu()
	go func() {
		for i := uint64(0); i < values; i++ {
			ch <- i
		}
	}()
	var sum uint64
	for i := uint64(0); i < values; i++ {
		sum += <-ch
	}
	if sum != values*(values-1)/2 {
		os.Exit(1)
	}
	return cpu() - from
}

func main() {
	runtime.GOMAXPROCS(1)
	n, _ := strconv.ParseUint(os.Args[1], 10, 64)
	c, _ := strconv.Atoi(os.Args[2])
	moves(n/10, c)
	fmt.Printf("{\"values\": %d, \"cpu_ns\": %d}\n", n, moves(n, c))
}
