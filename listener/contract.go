package listener

import "github.com/wagglehq/waggle/listener/internal/publish"

// Event is the value of a message of the stream of events.
type Event = publish.Event
