package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/wagglehq/waggle/pkg/scaling"
)

// answer is that of Prometheus' query API, as far as it is read.
type answer struct {
	Status string `json:"status"`
	Data   struct {
		Result []struct {
			Metric map[string]string  `json:"metric"`
			Value  [2]json.RawMessage `json:"value"`
		} `json:"result"`
	} `json:"data"`
}

// parse returns the values by the ID of a service. What is no number of replicas is
// missing, and so is one that is there twice.
func parse(body io.Reader) (map[string]float64, error) {
	var a answer
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return nil, fmt.Errorf("answer of Prometheus: %w", err)
	}
	if a.Status != "success" {
		return nil, fmt.Errorf("answer of Prometheus: status %q", a.Status)
	}
	out, seen := map[string]float64{}, map[string]bool{}
	for _, r := range a.Data.Result {
		id := r.Metric[scaling.WantedID]
		if id == "" {
			continue
		}
		var text string
		err := json.Unmarshal(r.Value[1], &text)
		value, errNumber := strconv.ParseFloat(text, 64)
		delete(out, id)
		if err == nil && errNumber == nil && value >= 0 && !math.IsInf(value, 0) && !seen[id] {
			out[id] = value
		}
		seen[id] = true
	}
	return out, nil
}
