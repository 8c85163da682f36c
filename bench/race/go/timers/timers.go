// timers WORKERS OPERATIONS ARMED - a timer is made, armed for a moment in 30 s and taken away, beside ARMED others.
package main

import (
	"runtime"
	"time"

	"levity_race/race"
)

func main() {
	race.Workers()
	operations, armed := race.Argument(2), race.Argument(3)
	others := make([]*time.Timer, armed)
	for i := range others {
		others[i] = time.AfterFunc(time.Hour+time.Duration(i)*time.Millisecond, func() {})
	}
	watch := race.Start()
	var cancelled uint64
	for i := range operations {
		each := time.AfterFunc(30*time.Second+time.Duration(i%1_000_000)*time.Microsecond, func() {})
		if each.Stop() {
			cancelled++
		}
	}
	watch.Print(operations, cancelled, "")
	runtime.KeepAlive(others)
}
