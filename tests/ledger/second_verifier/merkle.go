package main

import (
	"crypto/sha256"
	"errors"
)

// Hash is a SHA-256 digest.
type Hash = [32]byte

func leafHash(entry []byte) Hash {
	return sha256.Sum256(append([]byte{0}, entry...))
}

func nodeHash(left, right Hash) Hash {
	both := make([]byte, 0, 65)
	both = append(both, 1)
	both = append(both, left[:]...)
	return sha256.Sum256(append(both, right[:]...))
}

// split gives the largest power of two below n (RFC 6962, 2.1).
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// treeHash is MTH over leaves that are hashed already.
func treeHash(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

// rangeRoot computes the root of a tree of size leaves from the leaves [first, first+len(known)) and a range proof.
func rangeRoot(size, first int, known []Hash, proof []Hash) (Hash, error) {
	end, used := first+len(known), 0
	var walk func(low, high int) (Hash, error)
	walk = func(low, high int) (Hash, error) {
		if high <= first || low >= end {
			if used == len(proof) {
				return Hash{}, errors.New("the proof is too short")
			}
			used++
			return proof[used-1], nil
		}
		if low >= first && high <= end {
			return treeHash(known[low-first : high-first]), nil
		}
		middle := low + split(high-low)
		left, err := walk(low, middle)
		if err != nil {
			return Hash{}, err
		}
		right, err := walk(middle, high)
		return nodeHash(left, right), err
	}
	if first < 0 || end > size || len(known) == 0 {
		return Hash{}, errors.New("the range lies outside the tree")
	}
	root, err := walk(0, size)
	if err == nil && used != len(proof) {
		err = errors.New("the proof is too long")
	}
	return root, err
}

func hashes(raw []byte) ([]Hash, error) {
	if len(raw)%32 != 0 {
		return nil, errors.New("hashes have 32 bytes each")
	}
	found := make([]Hash, len(raw)/32)
	for i := range found {
		copy(found[i][:], raw[32*i:])
	}
	return found, nil
}
