// channel WORKERS VALUES CAPACITY PAIRS - PAIRS goroutines send, PAIRS receive, through one channel.
package main

import "levity_race/race"

func moves(values, capacity, pairs uint64) uint64 {
	pipe := make(chan uint64, capacity)
	sums := make(chan uint64, pairs)
	for range pairs {
		go func() {
			for i := uint64(1); i <= values/pairs; i++ {
				pipe <- i
			}
		}()
		go func() {
			var sum uint64
			for range values / pairs {
				sum += <-pipe
			}
			sums <- sum
		}()
	}
	var total uint64
	for range pairs {
		total += <-sums
	}
	return total
}

func main() {
	race.Workers()
	values, capacity, pairs := race.Argument(2), race.Argument(3), race.Argument(4)
	moves(values/10, capacity, pairs)
	watch := race.Start()
	total := moves(values, capacity, pairs)
	watch.Print(values, total, "")
}
