package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/simulate"
)

// standardWidth is how wide a terminal is that does not say.
const standardWidth = 80

func simulateTool() app.Tool {
	return app.Tool{
		Name: "simulate", Args: "[FILE]",
		Does: "Shows how a service would be scaled under a load, decided as the scaler decides; the case comes from flags, or from a file of JSON (- is the standard input), before which flags count.",
		Declare: func(fs *flag.FlagSet) func(context.Context, app.Call) error {
			c := simulate.Case{Defaults: policy.Standard()}
			labels := fs.String("labels", "", "labels of the service without com.df., such as \"scaleMin=2 scaleMax=12\"")
			fs.Uint64Var(&c.Replicas, "replicas", 1, "number of replicas at the beginning")
			fs.DurationVar(&c.Start, "start", 10*time.Second, "how long a new task takes to run")
			fs.DurationVar(&c.Range, "range", time.Minute, "how far back the alerts look")
			fs.DurationVar(&c.Delay, "delay", 10*time.Second, "how much later it is seen what they look at")
			fs.Float64Var(&c.Noise, "noise", 0, "by what part of itself the load of each second is more or less by chance, such as 0.1")
			limit(fs, &c.Up, "up", "load of one task above which an alert for up stands; without it and down the label scaleTarget says what the load wants")
			limit(fs, &c.Down, "down", "load of one task below which an alert for down stands")
			load := fs.String("load", "", "load of all tasks together from each time on, such as \"0s=1.2 5m=4.2\"")
			fs.DurationVar(&c.For, "for", time.Hour, "how long it goes on")
			fs.Uint64Var(&c.Seed, "seed", 1, "what chance begins with: the same is the same curve")
			asJSON := fs.Bool("json", false, "print what came of it as JSON")
			return func(_ context.Context, call app.Call) error {
				var err, errLabels error
				c.Load, err = simulate.ParseLoad(*load)
				c.Labels, errLabels = simulate.ParseLabels(*labels)
				if err := errors.Join(err, errLabels, readCase(&c, call)); err != nil {
					return err
				}
				curve, err := simulate.Run(c)
				if err != nil {
					return err
				}
				if *asJSON {
					return json.NewEncoder(call.Out).Encode(curve)
				}
				_, err = io.WriteString(call.Out, curve.Text(width(call)))
				return err
			}
		},
	}
}

// limit declares a flag for a number that may be absent.
func limit(fs *flag.FlagSet, to **float64, name, usage string) {
	fs.Func(name, usage, func(text string) error {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("want a number")
		}
		*to = &n
		return nil
	})
}

// readCase reads the file that a call names, if it names one.
func readCase(c *simulate.Case, call app.Call) error {
	if len(call.Args) == 0 {
		return nil
	}
	if len(call.Args) > 1 {
		return errors.New("want one file, or none")
	}
	text, err := readFile(call)
	if err == nil {
		err = c.Read(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", call.Args[0], err)
	}
	return nil
}

// width is how wide the terminal is, as the shell's COLUMNS says.
func width(call app.Call) int {
	text, _ := call.Variable("COLUMNS")
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1000 {
		return n
	}
	return standardWidth
}
