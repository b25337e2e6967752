package prometheus

import (
	"context"
	"fmt"

	"github.com/wagglehq/waggle/pkg/atomicfile"
)

// prepareOwnRules writes the rules about Waggle itself. A checker that refuses them
// is an error at the start, because the operator can switch them off.
func (s *Server) prepareOwnRules(ctx context.Context) (wrote bool, err error) {
	if len(s.ownRules) == 0 {
		return false, nil
	}
	if s.checker.Bin != "" {
		if err := s.checker.run(ctx, "rules", s.ownRules); err != nil {
			return false, fmt.Errorf("%s: %w", OwnRulesFile, err)
		}
	}
	return atomicfile.Write(s.path(OwnRulesFile), s.ownRules, 0o644)
}
