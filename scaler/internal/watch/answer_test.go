package watch

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestWhatPrometheusSays(t *testing.T) {
	one := func(labels, value string) string {
		return fmt.Sprintf(`{"metric": {%s}, "value": [1, %s]}`, labels, value)
	}
	body := func(results ...string) string {
		return fmt.Sprintf(`{"status": "success", "data": {"resultType": "vector", "result": [%s]}}`, strings.Join(results, ","))
	}
	for _, tc := range []struct {
		name, body string
		want       map[string]float64
		isFault    bool
	}{
		{name: "no series", body: body(), want: map[string]float64{}},
		{
			name: "some services", body: body(one(`"service_id": "a"`, `"2.5"`), one(`"service_id": "b", "x": "y"`, `"0"`)),
			want: map[string]float64{"a": 2.5, "b": 0},
		},
		{
			name: "what is no number of replicas is missing",
			body: body(one(`"service_id": "a"`, `"NaN"`), one(`"service_id": "b"`, `"+Inf"`), one(`"service_id": "c"`, `"-1"`), one(`"service_id": "d"`, `7`), one(``, `"3"`)),
			want: map[string]float64{},
		},
		{
			name: "what is there twice is missing", body: body(one(`"service_id": "a"`, `"1"`), one(`"service_id": "a"`, `"2"`), one(`"service_id": "a"`, `"3"`)),
			want: map[string]float64{},
		},
		{name: "an error", body: `{"status": "error", "error": "bad"}`, isFault: true},
		{name: "no JSON", body: `<html>`, isFault: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(strings.NewReader(tc.body))
			if (err != nil) != tc.isFault || !maps.Equal(got, tc.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
