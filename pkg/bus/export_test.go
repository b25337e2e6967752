package bus

import "github.com/nats-io/nats.go"

// Raw is the connection itself, for a test that does what this package does not.
func (b *Bus) Raw() *nats.Conn { return b.nc }
