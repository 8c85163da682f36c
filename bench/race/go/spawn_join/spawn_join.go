// spawn_join WORKERS BATCHES - a thousand empty goroutines, joined, and the next thousand.
package main

import (
	"sync"

	"levity_race/race"
)

const batch = 1000

func batches(count uint64) {
	var children sync.WaitGroup
	for range count {
		for range batch {
			children.Go(func() {})
		}
		children.Wait()
	}
}

func main() {
	race.Workers()
	count := race.Argument(2)
	batches(count / 10)
	watch := race.Start()
	batches(count)
	watch.Print(count*batch, count*batch, "")
}
