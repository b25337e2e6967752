package render

import (
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// userLists are the lists of users; the faults say what is wrong with them.
func userLists(s Settings, secrets map[string]string, users []route.Users) (sections []*file.Section, faults []string) {
	for _, u := range users {
		section, wrong := userList(s, secrets, u)
		sections, faults = append(sections, section), append(faults, wrong...)
	}
	return sections, faults
}

// userList is a list of users, which may be empty: then nobody gets in.
func userList(s Settings, secrets map[string]string, u route.Users) (section *file.Section, faults []string) {
	secret, there := secrets[u.Secret]
	list, faults := u.Resolve(secret, there, s.Separator, s.Users)
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
	return file.NewSection(s.Dir, "userlist", u.List, "", lines...), faults
}
