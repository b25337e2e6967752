package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/truth"
)

const (
	// lately is how far back is looked; truth.Lately says it in words.
	lately = time.Hour
	// enough is how many values of a label are asked for.
	enough = 50
)

// Ask puts a question about the series of late. Prometheus looks into its index alone, so
// it costs it little, however many samples there are. It may be called from any goroutine.
func (s *Server) Ask(ctx context.Context, q truth.Question) ([]string, error) {
	now := time.Now()
	query := url.Values{
		"match[]": {q.Selector}, "start": {strconv.FormatInt(now.Add(-lately).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix()+1, 10)},
		"limit": {strconv.Itoa(enough)},
	}
	if q.Label != "" {
		var values []string
		if err := s.client.do(ctx, http.MethodGet, "/api/v1/label/"+url.PathEscape(q.Label)+"/values?"+query.Encode(), &values); err != nil {
			return nil, fmt.Errorf("ask for %s of %s: %w", q.Label, q.Selector, err)
		}
		return values, nil
	}
	query.Set("limit", "1")
	var series []map[string]string
	if err := s.client.do(ctx, http.MethodGet, "/api/v1/series?"+query.Encode(), &series); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", q.Selector, err)
	}
	if len(series) == 0 {
		return nil, nil
	}
	return []string{q.Selector}, nil
}
