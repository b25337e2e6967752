package bus

import "context"

// Readers counts the readers of a stream that the server knows.
func (b *Bus) Readers(ctx context.Context, stream string) (int, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Consumers, nil
}
