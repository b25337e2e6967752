package route

import (
	"fmt"
	"strings"
	"testing"
)

// TestManyDearHashesAreTold: of users in a secret, or in the setting, nobody is locked out, but
// what they cost at each reload is said.
func TestManyDearHashesAreTold(t *testing.T) {
	entries := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "user%d:$2y$10$%s\n", i, strings.Repeat("a", 53))
		}
		return b.String()
	}
	const told = "HAProxy takes some 5.6 s"
	for n, want := range map[int]bool{10: false, 100: true} {
		operator, wrong := ParseUsers(entries(n), ",", true)
		if len(operator) != n || len(wrong) > 0 {
			t.Fatalf("%d of %d users, %v", len(operator), n, wrong)
		}
		for from, u := range map[string]Users{
			"secret dfp_users_crew": {List: "crew", Secret: "crew", Encrypted: true}, "the setting users": {List: OperatorUsers},
		} {
			list, faults := u.Resolve(entries(n), true, ",", operator)
			if len(list) != n {
				t.Errorf("%s: %d of %d users get in", from, len(list), n)
			}
			said := strings.Join(faults, "; ")
			if want != strings.Contains(said, told) || want != strings.HasPrefix(said, from+": ") || strings.Contains(said, "aaa") {
				t.Errorf("%s with %d users: %q", from, n, said)
			}
		}
	}
}
