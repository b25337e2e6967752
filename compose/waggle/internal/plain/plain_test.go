package plain_test

import (
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
)

func TestWhatIsNotSeenIsWrittenOut(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "shop_web: 3 of 5, 95 % – “well” · bücher 書": "shop_web: 3 of 5, 95 % – “well” · bücher 書",
		"\x1b[2J\x1b]8;;http://evil\x1b\\here": `\x1b[2J\x1b]8;;http://evil\x1b\here`, "\u009b31m": `\u009b31m`, "\x7f\r\b": `\x7f\x0d\x08`,
		"shop.example\u200b.com": `shop.example\u200b.com`, "/a\u202egpj.exe": `/a\u202egpj.exe`, "com.df.port\u00a0": `com.df.port\u00a0`, "\U000e0041": `\U000e0041`,
		"\xff\xfe": `\xff\xfe`, "\uFFFD": `\ufffd`, "one\ntwo\tthree": "one\ntwo\tthree",
	} {
		if got := plain.Text(text); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
	if got := plain.Line("one\n ok two\tthree"); got != `one\n ok two\tthree` {
		t.Errorf("on one line: %s", got)
	}
}
