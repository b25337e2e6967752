package label

import (
	"slices"
	"testing"
)

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  []string
		fault bool
	}{
		{"a, b", []string{"a", "b"}, false},
		{"a,b c\r\n\n d\n", []string{"a", "b c", "d"}, false},
		{" , \n", nil, false},
		{"a\tb", nil, true},
		{"a\nb\x00", nil, true},
	} {
		r := NewReader("com.df.", map[string]string{"com.df.users": c.text}, []Spec{{Name: "users", Secret: true}}, "")
		got := r.Service().Entries("users")
		if err := r.Err(); !slices.Equal(got, c.want) || (err != nil) != c.fault {
			t.Errorf("%q gives %q (%v), want %q", c.text, got, err, c.want)
		}
	}
	if got := NewReader("com.df.", nil, nil, "").Service().Entries("users"); got != nil {
		t.Errorf("a label that is not there gives %q", got)
	}
}
