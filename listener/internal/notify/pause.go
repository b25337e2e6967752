package notify

import "time"

// longest is how long there is at most between two tries.
const longest = 30 * time.Second

// Pause returns how long to wait after so many failed tries in a row, the first being 1.
// random is from 0 up to 1. With a quarter of jitter, pauses that grow by a half are never
// more than twice the one before.
func Pause(first time.Duration, failed int, random float64) time.Duration {
	pause := float64(first)
	for range failed - 1 {
		if pause *= 1.5; pause >= float64(longest) {
			break
		}
	}
	pause *= 1 + random/4
	return min(time.Duration(pause), longest)
}
