package labels

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// userHeader reads the name of the header that tells a task who has signed in.
func userHeader(g label.Group, o Options) string {
	name := strings.ToLower(g.Word("userHeader", ""))
	if !g.Has("userHeader") {
		return ""
	}
	if !route.Token(name) || reserved(name) || name == "authorization" {
		g.Reject("userHeader", "the name of a header such as X-Username, which does not belong to the connection")
	}
	if !g.Has("users") && !g.Has("usersSecret") && !o.OperatorUsers {
		g.Reject("userHeader", "a com.df.users or com.df.usersSecret beside it, without which nobody signs in")
	}
	return name
}

// users reads who gets into a destination; nil means everybody.
func users(svc catalog.Service, g label.Group, o Options) *route.Users {
	ignore := g.Bool("ignoreAuthorization", false)
	u := &route.Users{
		List: route.OperatorUsers + ":" + svc.Name + "_" + strconv.Itoa(g.Index), Realm: svc.Name + "Realm",
		Secret: g.Word("usersSecret", ""), Encrypted: g.Bool("usersPassEncrypted", false),
	}
	if u.Secret != "" && !fileName.MatchString(u.Secret) {
		g.Reject("usersSecret", "the end of the name of a secret that begins with dfp_users_")
	}
	entries := g.Entries("users")
	for i, text := range entries {
		// An entry is named by its number: a password with a comma in it makes one that
		// looks like a name.
		if _, want := route.ParseUser(text, u.Encrypted); want != "" {
			g.RejectText("users", text, fmt.Sprintf("%s (entry %d)", want, i+1))
		}
	}
	u.Entries = strings.Join(entries, "\n")
	switch {
	case ignore:
		return nil
	case g.Has("users") || g.Has("usersSecret"):
		return u
	case o.OperatorUsers:
		return &route.Users{List: route.OperatorUsers, Realm: route.OperatorRealm}
	}
	return nil
}
