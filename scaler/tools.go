package scaler

import "github.com/wagglehq/waggle/pkg/app"

// Tools are what the scaler's program does besides being the scaler.
func Tools() []app.Tool { return []app.Tool{keepTool()} }
