package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Reschedule is the label, without prefix, of services whose tasks may be spread anew over
// the nodes.
const Reschedule = "reschedule"

// ErrUnlabeled says that a service is not labelled for rescheduling. The text is Docker Flow's.
var ErrUnlabeled = errors.New("is not labeled with com.df.reschedule=true")

// ForMoves is the policy by which the tasks of a service are spread anew: that of Judge, or
// one without bounds, for which a service need not ask. The errors are ErrUnlabeled and those
// of FromService.
func ForMoves(s catalog.Service, last map[string]string, d Defaults) (Policy, error) {
	text, isThere := s.Labels[catalog.Prefix+Reschedule]
	switch {
	case s.OptedIn() && s.Fits() != nil:
		return Policy{}, s.Fits()
	case !isThere:
		return Policy{}, fmt.Errorf("%w (no label)", ErrUnlabeled)
	case !strings.EqualFold(text, "true"):
		return Policy{}, fmt.Errorf("%w (%s%s=%s)", ErrUnlabeled, catalog.Prefix, Reschedule, label.Show(text, false))
	}
	p, err := Judge(s, last, d)
	switch {
	case p.InForce():
		return p, nil
	case !errors.Is(err, ErrNotAsked):
		return Policy{}, err
	}
	r := label.NewReader(catalog.Prefix, s.Labels, Labels(), "")
	p = Policy{ServiceID: s.ID, Service: s.Name, Max: Most, UpBy: 1, DownBy: 1, Patience: d.Patience}
	p.Off, p.DryRun = switches(r.Service())
	if err := r.Err(); err != nil {
		return Policy{}, err
	}
	return p, nil
}
