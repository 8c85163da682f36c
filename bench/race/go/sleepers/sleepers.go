// sleepers WORKERS TASKS - goroutines that all sleep at the same moment, then wake over half a second.
package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"levity_race/race"
)

var asleep, woken atomic.Uint64

func sleeper(until time.Time) {
	asleep.Add(1)
	time.Sleep(time.Until(until))
	woken.Add(1)
}

func main() {
	race.Workers()
	tasks := race.Argument(2)
	before := race.ResidentBytes()
	watch := race.Start()
	start := time.Now().Add(4 * time.Second)
	var sleepers sync.WaitGroup
	for i := range tasks {
		sleepers.Go(func() { sleeper(start.Add(time.Duration(i%500) * time.Millisecond)) })
	}
	for asleep.Load() < tasks {
		time.Sleep(time.Millisecond)
	}
	parked := race.ResidentBytes() - before
	if woken.Load() != 0 {
		fmt.Fprintln(os.Stderr, "the first tasks woke before the last ones slept; is the machine busy?")
		os.Exit(1)
	}
	sleepers.Wait()
	watch.Print(tasks, woken.Load(), fmt.Sprintf(", \"resident\": %d", parked))
}
