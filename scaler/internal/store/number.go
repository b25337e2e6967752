package store

import (
	"context"
	"errors"
	"strings"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// Number returns what is known of a service's number, as far as it has been heard of, and
// its revision; false if nothing is. What cannot be read is as if it were not there.
func (s *Store) Number(serviceID string) (n signal.Number, revision uint64, known bool) {
	key := numberPrefix + bus.Token(serviceID)
	v, ok := s.mirror.Value(key)
	if !ok {
		return n, 0, false
	}
	n, err := s.numbers.read(key, v.Data)
	if err != nil {
		return signal.Number{}, v.Revision, false
	}
	return n, v.Revision, true
}

// SetNumber writes what is known of a service's number, for as long as it is scaled, unless another instance has written since a revision; the error is ErrConflict then.
func (s *Store) SetNumber(ctx context.Context, n signal.Number, revision uint64) error {
	value, err := catalog.Encode(n)
	if err != nil {
		return err
	}
	key := numberPrefix + bus.Token(n.ServiceID)
	if revision == 0 {
		// One that was removed has left a mark, which has a revision.
		_, at, err := s.bucket.Get(ctx, key)
		if err == nil {
			return ErrConflict
		}
		if !errors.Is(err, bus.ErrNotFound) {
			return err
		}
		revision = at
	}
	_, err = s.bucket.Put(ctx, key, value, bus.IfRevision(revision))
	return conflict(err)
}

// ForgetNumbers removes what is known of the numbers of services that are not scaled any more.
func (s *Store) ForgetNumbers(ctx context.Context, isScaled func(serviceID string) bool) error {
	values, ok := s.mirror.Values()
	if !ok {
		return nil
	}
	var errs []error
	for key, v := range values {
		if !strings.HasPrefix(key, numberPrefix) {
			continue
		}
		if n, err := s.numbers.read(key, v.Data); err != nil || isScaled(n.ServiceID) {
			continue
		}
		if err := conflict(s.bucket.Delete(ctx, key, bus.IfRevision(v.Revision))); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, bus.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
