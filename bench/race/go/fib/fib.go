// fib WORKERS N - Fibonacci's number by recursion: one half a goroutine of its own, the other called, then joined.
package main

import (
	"sync"

	"levity_race/race"
)

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	var left uint64
	var other sync.WaitGroup
	other.Go(func() { left = fib(n - 1) })
	right := fib(n - 2)
	other.Wait()
	return left + right
}

func main() {
	race.Workers()
	n := race.Argument(2)
	fib(n - 5)
	watch := race.Start()
	sum := fib(n)
	watch.Print(sum, sum, "")
}
