// Writes what Go says about patterns, scalars and documents: the expectations in tests/data/go/. The tests need no Go;
// this is run by hand when the corpus has to grow. Deterministic for a count and a seed.
//
//	go run ./scripts/go-corpus patterns  2600 1 > tests/data/go/patterns.jsonl
//	go run ./scripts/go-corpus scalars   1500 1 > tests/data/go/scalars.jsonl
//	go run ./scripts/go-corpus documents 2400 1 > tests/data/go/documents.jsonl
//
// It needs sigs.k8s.io/yaml, the Go service's reader. The committed files come from Go 1.19.8 with sigs.k8s.io/yaml
// 1.3.0 on gopkg.in/yaml.v2 2.4.0 (Debian 12: golang-go, golang-k8s-sigs-yaml-dev; GO111MODULE=off
// GOPATH=/usr/share/gocode). Larger runs: point POLICY_CORPUS at a directory with files of the same names.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

var out = bufio.NewWriter(os.Stdout)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-corpus patterns|scalars|documents COUNT SEED")
		os.Exit(2)
	}
	count, _ := strconv.Atoi(os.Args[2])
	seed, _ := strconv.ParseInt(os.Args[3], 10, 64)
	r := rand.New(rand.NewSource(seed))
	defer out.Flush()
	switch os.Args[1] {
	case "patterns":
		patterns(r, count)
	case "scalars":
		scalars(r, count)
	case "documents":
		documents(r, count)
	}
}

func emit(v interface{}) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
}

func pick(r *rand.Rand, from []string) string { return from[r.Intn(len(from))] }

// ---- patterns ----

var valueAlphabet = []string{
	"a", "b", "c", "k", "K", "s", "S", "\u212a", "\u017f", "A", "Z", "0", "9", "_", "-", ".", "/", ":", "@", " ", "\n",
	"\t", "\v", "\r", "é", "É", "\u00a0", "[", "]", "{", "}", "1", "2", ",", "&", "~", "^", "\\", "|", "\u2028", "😀",
}

func values(r *rand.Rand) []string {
	all := append([]string{""}, valueAlphabet...)
	for len(all) < 256 {
		var b strings.Builder
		length := 2 + r.Intn(5)
		// Mostly few letters, so that repetitions are met.
		few := []string{pick(r, valueAlphabet), pick(r, valueAlphabet), "a", "b"}
		for i := 0; i < length; i++ {
			if r.Intn(4) == 0 {
				b.WriteString(pick(r, valueAlphabet))
			} else {
				b.WriteString(pick(r, few))
			}
		}
		all = append(all, b.String())
	}
	return all
}

var atoms = []string{
	"a", "b", "c", "k", "K", "s", "S", "é", "0", "/", ":", "-", "_", " ", "@", ",", "]", "}", "&", "~", ".", ".", "a", "b",
	`\d`, `\D`, `\w`, `\W`, `\s`, `\S`, `\.`, `\/`, `\-`, `\_`, `\[`, `\{`, `\n`, `\t`, `\v`, `\f`, `\r`, `\a`, `\\`, `\ `,
	`\x41`, `\x{6b}`, `\x{212a}`, `\x{1F600}`, `\057`, `\101`, `\12`, `\07`, `\0`, `\141`,
	`^`, `$`, `\A`, `\z`, `\b`, `\B`, `(?i)`, `(?s)`, `(?m)`, `(?-i)`, `(?U)`, `(?i-s)`, `(?)`, `()`, `(?:)`, `\Qa.b\E`, `\Q[\E`,
	"{", "{a}", "x{,2}", "{01}",
}

var rareAtoms = []string{
	`\p{L}`, `\pN`, `\PN`, `\p{^L}`, `\1`, `\8`, `\Z`, `\G`, `\K`, `\e`, `\u0041`, `\U00000041`, `\<`, `\>`, `\b{start}`, `\C`, `\X`, `\R`,
	`\x4`, `\x{}`, `\x{110000}`, `\x{zz}`, `\xg1`, `(?x)`, `(?u)`, `(?R)`, `(?=a)`, `(?!a)`, `(?<=a)`, `(?<!a)`, `(?P<n>a)`, `(?P<1>a)`, `(?P<é>a)`,
	`(?P<>a)`, `(?P=n)`, `(?P>n)`, `(?#c)`, `(?-)`, `(?i-)`, `(?--i)`, `(?i`, `(?`, `\Q\E`, `\Qab`, `\E`, `\é`, `\`, "(", ")", "[", "**", "a**", "a*?", "a+?",
	"a??", "a???", "a{2}{2}", "a{2}?", "a{2,1}", "a{1001}", "a{1000}", "a{0}", "a{0,0}", "a{,}", "a{1", "a{ 1 }", "a{1, 2}", "*", "+a", "?",
	"|*", "(*)", "^*", "$+", `\b?`, "(?i)*", "(a{30}){30}", "(a{40}){40}", "((a{10}){10}){10}", "((a{10}){10}){11}", "(a*){1001}", "(a{0}){1000}",
}

var classItems = []string{
	"a", "b", "k", "s", "S", "0", "9", "_", ".", "/", ":", "@", "-", "^", "|", "$", " ", "é", "a-c", "A-Z", "a-z", "0-9", "r-t", "J-L", "+--",
	" -~", "!-/", "é-ü", `\d`, `\D`, `\w`, `\W`, `\s`, `\S`, `\]`, `\[`, `\-`, `\^`, `\\`, `\n`, `\t`, `\v`, `\x41-\x5A`, `\x{212a}`, `\x{0}-\x{10ffff}`,
	`\101`, "[:alpha:]", "[:^alpha:]", "[:space:]", "[:word:]", "[:upper:]", "[:print:]", "[:graph:]", "[:punct:]", "[:ascii:]", "[:xdigit:]", "[:cntrl:]", "[:blank:]",
	"[:lower:]", "[:digit:]", "[:alnum:]", `\/-:`, `a-\x{63}`, `\t-\r`,
}

var rareItems = []string{
	"[", "[a", "[:foo:]", "[:alpha", "[:^", "&&", "--", "~~", "a--", "z-a", `\b`, `\A`, `\pL`, `\p{Greek}`, `a-\d`, `\1`, `\q`, "[.a.]", "[=a=]", `\x{d800}`, `\<`,
}

func class(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("[")
	if r.Intn(3) == 0 {
		b.WriteString("^")
	}
	switch r.Intn(8) {
	case 0:
		b.WriteString("]")
	case 1:
		b.WriteString("-")
	}
	for i := 0; i <= r.Intn(3); i++ {
		if r.Intn(30) == 0 {
			b.WriteString(pick(r, rareItems))
		} else {
			b.WriteString(pick(r, classItems))
		}
	}
	if r.Intn(10) == 0 {
		b.WriteString("-")
	}
	b.WriteString("]")
	return b.String()
}

func expression(r *rand.Rand, depth int) string {
	var b strings.Builder
	for i := 0; i <= r.Intn(4); i++ {
		switch n := r.Intn(20); {
		case n < 4:
			b.WriteString(class(r))
		case n < 7 && depth > 0:
			b.WriteString(pick(r, []string{"(", "(?:", "(?i:", "(?s:", "(?m:", "(?-s:", "(?is-m:", "(?P<g>"}))
			b.WriteString(expression(r, depth-1))
			b.WriteString(")")
		case n == 7 && r.Intn(4) == 0:
			b.WriteString(pick(r, rareAtoms))
		default:
			b.WriteString(pick(r, atoms))
		}
		if r.Intn(3) == 0 {
			b.WriteString(pick(r, []string{"*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{2,3}?", "{0}"}))
		}
		if r.Intn(8) == 0 {
			b.WriteString("|")
		}
	}
	return b.String()
}

func mutated(r *rand.Rand, p string) string {
	runes := []rune(p)
	if len(runes) == 0 {
		return p
	}
	at := r.Intn(len(runes))
	switch r.Intn(3) {
	case 0:
		return string(runes[:at]) + string(runes[at+1:])
	case 1:
		return string(runes[:at]) + pick(r, append(rareAtoms, rareItems...)) + string(runes[at:])
	default:
		other := r.Intn(len(runes))
		runes[at], runes[other] = runes[other], runes[at]
		return string(runes)
	}
}

type patternRow struct {
	Pattern string `json:"p"`
	// Go compiles it alone.
	Compiles bool `json:"c"`
	// Bit n: `^(?:p)$` matches value n.
	Whole string `json:"w,omitempty"`
	// Bit n: `^p$` matches value n, where that differs.
	Wide string `json:"g,omitempty"`
}

func bits(p string, vs []string) string {
	re, err := regexp.Compile(p)
	if err != nil {
		return ""
	}
	bytes := make([]byte, len(vs)/8)
	for i, v := range vs {
		if re.MatchString(v) {
			bytes[i/8] |= 1 << (i % 8)
		}
	}
	return hex.EncodeToString(bytes)
}

func patterns(r *rand.Rand, count int) {
	vs := values(r)
	emit(vs)
	seen := map[string]bool{}
	row := func(p string) {
		if seen[p] {
			return
		}
		seen[p] = true
		_, err := regexp.Compile(p)
		line := patternRow{Pattern: p, Compiles: err == nil}
		if err == nil {
			line.Whole = bits(`\A(?:`+p+`)\z`, vs)
			if wide := bits("^"+p+"$", vs); wide != line.Whole {
				line.Wide = wide
			}
		}
		emit(line)
	}
	for _, list := range [][]string{atoms, rareAtoms} {
		for _, p := range list {
			row(p)
			row("a" + p + "b")
			row("(?i)" + p)
		}
	}
	for _, list := range [][]string{classItems, rareItems} {
		for _, item := range list {
			row("[" + item + "]")
			row("[^" + item + "]")
			row("(?i)[" + item + "]")
			row("(?i)[^" + item + "]")
			row("[a" + item + "z]+")
		}
	}
	for len(seen) < count {
		p := expression(r, 2)
		if r.Intn(4) == 0 {
			p = mutated(r, p)
		}
		row(p)
	}
}

// ---- scalars ----

type texts struct {
	S string            `json:"s"`
	M map[string]string `json:"m"`
	L []string          `json:"l"`
}

type scalarRow struct {
	Text string `json:"t"`
	// As a value; absent when the reader fails or sees null.
	Value *string `json:"v,omitempty"`
	// As a key of a map of texts.
	Key *string `json:"k,omitempty"`
}

func scalars(r *rand.Rand, count int) {
	seen := map[string]bool{}
	row := func(text string) {
		if seen[text] || strings.TrimSpace(text) != text || strings.ContainsAny(text, "\n#") {
			return
		}
		seen[text] = true
		line := scalarRow{Text: text}
		var v struct {
			S *string `json:"s"`
		}
		if yaml.UnmarshalStrict([]byte("s: "+text+"\n"), &v) == nil {
			line.Value = v.S
		}
		var m texts
		if yaml.UnmarshalStrict([]byte("m:\n  "+text+": x\n"), &m) == nil && len(m.M) == 1 {
			for key := range m.M {
				k := key
				line.Key = &k
			}
		}
		emit(line)
	}
	words := []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf", "-.inf", "+.inf", "nan", "inf", "<<", "=", "t", "f", "none", "nil"}
	for _, w := range words {
		row(w)
		row(strings.ToUpper(w))
		row(strings.ToUpper(w[:1]) + w[1:])
		row(w + "1")
		row("x" + w)
	}
	for _, w := range []string{"2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10", "1:30", "190:20:30", "1:30.5", "12:30:45", "0o17", "0b101", "-0b101", "0b-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1e400", "0x1p4", "1e+06", "1e+21", "1_0.5", "0x_1", "100000", "100000.5", "999999.5", "1000000.5", "0.0001", "0.00011", "0.00001", "123.456", "1.23456", "1.234567", "16777217.0", "0.1"} {
		row(w)
	}
	pieces := []string{"0", "1", "2", "7", "8", "9", "10", "00", "12345", ".", ".", "-", "+", "e", "E", "_", "x", "0x", "0b", "0o", "a", "f", "f", ":", "/", "n", "o", "y"}
	for len(seen) < count {
		var b strings.Builder
		for i := 0; i <= r.Intn(5); i++ {
			b.WriteString(pick(r, pieces))
		}
		row(b.String())
	}
}

// ---- documents ----

type policy struct {
	Issuer          string            `json:"issuer,omitempty"`
	IssuerPattern   string            `json:"issuer_pattern,omitempty"`
	Subject         string            `json:"subject,omitempty"`
	SubjectPattern  string            `json:"subject_pattern,omitempty"`
	Audience        string            `json:"audience,omitempty"`
	AudiencePattern string            `json:"audience_pattern,omitempty"`
	ClaimPattern    map[string]string `json:"claim_pattern,omitempty"`
	Permissions     map[string]string `json:"permissions,omitempty"`
	Repositories    []string          `json:"repositories,omitempty"`
}

type documentRow struct {
	Document string  `json:"d"`
	Policy   *policy `json:"p,omitempty"`
}

var seeds = []string{
	"issuer: https://a.example\nsubject: s\npermissions:\n  contents: read\n",
	"issuer: 'https://a.example'\nsubject: \"a:b\"\npermissions: {contents: read, issues: write}\n",
	"# c\nissuer: https://a.example # c\nsubject_pattern: >-\n  a\n  b\npermissions:\n  contents: read\nrepositories:\n- app\n- docs\n",
	"issuer: i\nsubject: |\n  one\n  two\naudience: a b\nclaim_pattern:\n  ref: a.*\n  \"x\": 'it''s'\npermissions:\n    issues: write\nrepositories: [app, 'docs', \"x\"]\n",
	"{issuer: i, subject: s, permissions: {contents: read}, repositories: [a,b]}\n",
	"---\nissuer: i\nsubject: a\n  b\n\n  c\npermissions:\n  contents:\n    read\nclaim_pattern:\n  k: \"a\\tb\\x41\\u00e9\\\n    c\"\n",
	"issuer: i\r\nsubject: s t\r\npermissions:\r\n  contents: read\r\n",
	"? issuer\n: i\nsubject : s\n\"permissions\": {\"contents\": read}\nclaim_pattern: {a: b, 'c':d, \"e\":f}\n",
	"issuer: i\nsubject: |+2\n    a\n\n   b\n\npermissions: {contents: read}\nclaim_pattern:\n  a: >\n   x\n    y\n   z\n\n   w\n",
}

var inserts = []string{
	" ", "  ", "\n", "\n\n", "\t", ":", ": ", "-", "- ", "#", " #", "'", "\"", "\\", "\\n", "[", "]", "{", "}", ",", ", ", "|", ">", "|-", ">-", ">+", "&a ", "*a", "!x ",
	"!!str ", "%", "@", "`", "?", "? ", "~", "on", "1", "0x1", "é", "\u00a0", "\u0085", "\u2028", "\ufeff", "---\n", "\n---\n", "...\n", "\n...\n", "<<: ", "\r", "\r\n", "=", "''", "\"\"",
	"a: b\n", "  a: b\n", "subject: t\n", "\\x0a", "\\/", "\\e", "\x00", "\x7f",
}

func documents(r *rand.Rand, count int) {
	seen := map[string]bool{}
	row := func(d string) {
		if seen[d] {
			return
		}
		seen[d] = true
		line := documentRow{Document: d}
		var p policy
		if yaml.UnmarshalStrict([]byte(d), &p) == nil {
			line.Policy = &p
		}
		emit(line)
	}
	for _, seed := range seeds {
		row(seed)
	}
	for len(seen) < count {
		d := []rune(pick(r, seeds))
		for i := 0; i <= r.Intn(3); i++ {
			at := r.Intn(len(d) + 1)
			switch r.Intn(5) {
			case 0:
				if at < len(d) {
					d = append(append([]rune{}, d[:at]...), d[at+1:]...)
				}
			case 1:
				end := at + r.Intn(6)
				if end > len(d) {
					end = len(d)
				}
				piece := append([]rune{}, d[at:end]...)
				to := r.Intn(len(d) + 1)
				d = append(append(append([]rune{}, d[:to]...), piece...), d[to:]...)
			default:
				d = append(append(append([]rune{}, d[:at]...), []rune(pick(r, inserts))...), d[at:]...)
			}
		}
		row(string(d))
	}
}
