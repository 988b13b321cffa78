package main

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// ML-DSA-44 signatures are verified as FIPS 204 has it: Go's library verifies none. What is here handles public values
// alone, so nothing of it needs constant time.
const (
	mldsaKeySize       = 1312
	mldsaSignatureSize = 2420

	fieldQ  = 8380417
	rows    = 4 // k, and l, which is the same
	tau     = 39
	gamma1  = 1 << 17
	gamma2  = (fieldQ - 1) / 88
	beta    = 78
	omega   = 80
	hashLen = 32 // of c~
)

type poly [256]int64

// zetas are the powers of 1753 in the order of reversed bits (FIPS 204, appendix B).
var zetas = func() (found poly) {
	power := int64(1)
	for i := 0; i < 256; i++ {
		found[bits.Reverse8(uint8(i))] = power
		power = power * 1753 % fieldQ
	}
	return
}()

func reduce(x int64) int64 {
	x %= fieldQ
	if x < 0 {
		x += fieldQ
	}
	return x
}

// ntt is algorithm 41.
func (p *poly) ntt() {
	m := 0
	for width := 128; width >= 1; width /= 2 {
		for start := 0; start < 256; start += 2 * width {
			m++
			for j := start; j < start+width; j++ {
				t := zetas[m] * p[j+width] % fieldQ
				p[j+width] = reduce(p[j] - t)
				p[j] = reduce(p[j] + t)
			}
		}
	}
}

// inverse is algorithm 42.
func (p *poly) inverse() {
	m := 256
	for width := 1; width < 256; width *= 2 {
		for start := 0; start < 256; start += 2 * width {
			m--
			for j := start; j < start+width; j++ {
				t := p[j]
				p[j] = reduce(t + p[j+width])
				p[j+width] = reduce(-zetas[m] * (t - p[j+width]))
			}
		}
	}
	for j := range p {
		p[j] = p[j] * 8347681 % fieldQ
	}
}

// unpack reads 256 integers of so many bits each, the least significant first (algorithm 18).
func unpack(raw []byte, width int) (found poly) {
	for i := range found {
		for b := 0; b < width; b++ {
			at := i*width + b
			found[i] |= int64(raw[at/8]>>(at%8)&1) << b
		}
	}
	return
}

// matrix gives one entry of A, in NTT form (algorithms 30 and 32).
func matrix(rho []byte, row, column int) (found poly) {
	stream := newShake(168, rho, []byte{byte(column), byte(row)})
	for i := 0; i < 256; {
		three := stream.read(3)
		value := int64(three[0]) | int64(three[1])<<8 | int64(three[2]&0x7f)<<16
		if value < fieldQ {
			found[i] = value
			i++
		}
	}
	return
}

// inBall is algorithm 29.
func inBall(seed []byte) (found poly) {
	stream := newShake(136, seed)
	signs := binary.LittleEndian.Uint64(stream.read(8))
	for i := 256 - tau; i < 256; i++ {
		j := int(stream.read(1)[0])
		for j > i {
			j = int(stream.read(1)[0])
		}
		found[i] = found[j]
		found[j] = 1 - 2*int64(signs&1)
		signs >>= 1
	}
	return
}

// hints is algorithm 21; false for what is no canonical encoding.
func hints(raw []byte) (found [rows]poly, good bool) {
	at := 0
	for i := 0; i < rows; i++ {
		end := int(raw[omega+i])
		if end < at || end > omega {
			return found, false
		}
		for first := at; at < end; at++ {
			if at > first && raw[at-1] >= raw[at] {
				return found, false
			}
			found[i][raw[at]] = 1
		}
	}
	for ; at < omega; at++ {
		if raw[at] != 0 {
			return found, false
		}
	}
	return found, true
}

// useHint is algorithm 40, over algorithm 36.
func useHint(hint, r int64) int64 {
	low := r % (2 * gamma2)
	if low > gamma2 {
		low -= 2 * gamma2
	}
	high := (r - low) / (2 * gamma2)
	if r-low == fieldQ-1 {
		high, low = 0, low-1
	}
	switch {
	case hint == 0:
		return high
	case low > 0:
		return (high + 1) % 44
	}
	return (high + 43) % 44
}

// verifyMLDSA says whether this is the key's signature over the message, with an empty context (algorithms 3 and 8).
func verifyMLDSA(key, message, signature []byte) bool {
	if len(key) != mldsaKeySize || len(signature) != mldsaSignatureSize {
		return false
	}
	challenge := signature[:hashLen]
	var z [rows]poly
	for i := range z {
		z[i] = unpack(signature[hashLen+576*i:hashLen+576*(i+1)], 18)
		for j := range z[i] {
			value := gamma1 - z[i][j]
			if value >= gamma1-beta || value <= beta-gamma1 {
				return false
			}
			z[i][j] = reduce(value)
		}
		z[i].ntt()
	}
	hint, good := hints(signature[hashLen+576*rows:])
	if !good {
		return false
	}
	mu := newShake(136, newShake(136, key).read(64), []byte{0, 0}, message).read(64)
	c := inBall(challenge)
	for j := range c {
		c[j] = reduce(c[j])
	}
	c.ntt()
	packed := make([]byte, 0, 192*rows)
	for row := 0; row < rows; row++ {
		t := unpack(key[32+320*row:32+320*(row+1)], 10)
		for j := range t {
			t[j] = t[j] << 13 % fieldQ
		}
		t.ntt()
		var w poly
		for column := 0; column < rows; column++ {
			a := matrix(key[:32], row, column)
			for j := range w {
				w[j] = (w[j] + a[j]*z[column][j]) % fieldQ
			}
		}
		for j := range w {
			w[j] = reduce(w[j] - c[j]*t[j]%fieldQ)
		}
		w.inverse()
		for j := 0; j < 256; j += 4 { // six bits each
			var four uint32
			for b := 0; b < 4; b++ {
				four |= uint32(useHint(hint[row][j+b], w[j+b])) << (6 * b)
			}
			packed = append(packed, byte(four), byte(four>>8), byte(four>>16))
		}
	}
	return bytes.Equal(challenge, newShake(136, mu, packed).read(hashLen))
}

// shake is SHAKE128 (rate 168) or SHAKE256 (rate 136) of FIPS 202.
type shake struct {
	state [25]uint64
	rate  int
	out   []byte
}

func newShake(rate int, parts ...[]byte) *shake {
	text := append(bytes.Join(parts, nil), 0x1f)
	for len(text)%rate != 0 {
		text = append(text, 0)
	}
	text[len(text)-1] |= 0x80
	s := &shake{rate: rate}
	for ; len(text) > 0; text = text[rate:] {
		for i := 0; i < rate/8; i++ {
			s.state[i] ^= binary.LittleEndian.Uint64(text[8*i:])
		}
		keccak(&s.state)
	}
	s.squeeze()
	return s
}

func (s *shake) squeeze() {
	for i := 0; i < s.rate/8; i++ {
		s.out = binary.LittleEndian.AppendUint64(s.out, s.state[i])
	}
}

func (s *shake) read(size int) []byte {
	for len(s.out) < size {
		keccak(&s.state)
		s.squeeze()
	}
	found := s.out[:size:size]
	s.out = s.out[size:]
	return found
}

// keccak is Keccak-f[1600]: its round constants and rotations are computed as FIPS 202, section 3.2, defines them.
func keccak(a *[25]uint64) {
	register := byte(1)
	for round := 0; round < 24; round++ {
		var column, mixed [5]uint64
		for x := 0; x < 5; x++ {
			column[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := 0; x < 5; x++ {
			mixed[x] = column[(x+4)%5] ^ bits.RotateLeft64(column[(x+1)%5], 1)
		}
		for i := range a {
			a[i] ^= mixed[i%5]
		}
		x, y, last := 1, 0, a[1]
		for t := 0; t < 24; t++ {
			x, y = y, (2*x+3*y)%5
			last, a[x+5*y] = a[x+5*y], bits.RotateLeft64(last, (t+1)*(t+2)/2)
		}
		for y := 0; y < 25; y += 5 {
			row := [5]uint64{a[y], a[y+1], a[y+2], a[y+3], a[y+4]}
			for x := 0; x < 5; x++ {
				a[y+x] = row[x] ^ (^row[(x+1)%5] & row[(x+2)%5])
			}
		}
		for j := 0; j < 7; j++ {
			if register&1 == 1 {
				a[0] ^= 1 << (1<<j - 1)
			}
			overflow := register&0x80 != 0
			register <<= 1
			if overflow {
				register ^= 0x71
			}
		}
	}
}
