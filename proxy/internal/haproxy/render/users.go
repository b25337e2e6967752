package render

import (
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// userLists are the lists of users; the faults say what is wrong with them.
func (r *Renderer) userLists(users []route.Users) (sections []*file.Section, faults []string) {
	for _, u := range users {
		section, wrong := r.userList(u)
		sections, faults = append(sections, section), append(faults, wrong...)
	}
	return sections, faults
}

// userList is a list of users, which may be empty: then nobody gets in.
func (r *Renderer) userList(u route.Users) (section *file.Section, faults []string) {
	secret, there := r.secrets[u.Secret]
	list, faults := u.Resolve(secret, there, r.settings.Separator, r.settings.Users)
	var lines []file.Line
	for _, user := range list {
		kind := "insecure-password"
		if user.Encrypted {
			kind = "password"
		}
		lines = append(lines, file.New(file.W("user"), file.Q(user.Name), file.W(kind), file.Q(user.Password)))
	}
	for i := range faults {
		faults[i] = u.List + ": " + faults[i]
	}
	return file.NewSection(r.settings.Dir, "userlist", u.List, "", lines...), faults
}
