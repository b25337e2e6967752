package scaler

import "github.com/wagglehq/waggle/scaler/internal/decide"

// Decision is the value of a message of the stream of decisions.
type Decision = decide.Decision
