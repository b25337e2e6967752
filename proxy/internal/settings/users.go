package settings

import (
	"errors"
	"flag"
	"strings"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// users are the settings about who gets into services that do not say it themselves.
type users struct {
	Users         app.Secret
	UsersPassHash bool
}

func (u *users) flags(fs *flag.FlagSet) {
	fs.Var(&u.Users, "users", "who gets into services without com.df.users, by basic authentication: name:password, separated by commas or lines; empty: everybody")
	fs.BoolVar(&u.UsersPassHash, "users-pass-encrypted", false, "the passwords of users are hashes of crypt(3)")
}

// settings adds them to those of HAProxy. A list that is wrong is an error at the
// start, as opposed to services that are open to everybody.
func (u *users) settings(s *render.Settings, separator string) error {
	if u.Users == "" {
		return nil
	}
	list, faults := route.ParseUsers(string(u.Users), separator, u.UsersPassHash)
	if len(faults) > 0 {
		return errors.New("users: " + strings.Join(faults, "; "))
	}
	if len(list) == 0 {
		return errors.New("users: want name:password, several separated by commas or lines")
	}
	s.Users = list
	return nil
}
