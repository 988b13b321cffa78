package main

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"time"
)

// Time stamps: RFC 3161 tokens, which are CMS signed data (RFC 5652) with one signer.

type signedData struct {
	Version      int
	Digests      asn1.RawValue
	Inside       encapsulated
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	Revocations  asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signerInfo  `asn1:"set"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type signerInfo struct {
	Version    int
	Who        asn1.RawValue
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue `asn1:"tag:0"`
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

type stampInfo struct {
	Version int
	Policy  asn1.ObjectIdentifier
	Imprint struct {
		Hash   pkix.AlgorithmIdentifier
		Digest []byte
	}
	Serial *big.Int
	At     time.Time `asn1:"generalized"`
}

type certificateID struct {
	Hash   pkix.AlgorithmIdentifier `asn1:"optional"`
	Digest []byte
}

const (
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidStampInfo     = "1.2.840.113549.1.9.16.1.4"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningCert   = "1.2.840.113549.1.9.16.2.12"
	oidSigningCertV2 = "1.2.840.113549.1.9.16.2.47"
	oidSHA256        = "2.16.840.1.101.3.4.2.1"
	oidSHA384        = "2.16.840.1.101.3.4.2.2"
	oidSHA512        = "2.16.840.1.101.3.4.2.3"
	longestChain     = 8
)

func digestBy(oid string, data []byte) []byte {
	switch oid {
	case oidSHA256:
		sum := sha256.Sum256(data)
		return sum[:]
	case oidSHA384:
		sum := sha512.Sum384(data)
		return sum[:]
	case oidSHA512:
		sum := sha512.Sum512(data)
		return sum[:]
	}
	return nil
}

// algorithmOf names what Go calls a signature algorithm of a key with a hash.
func algorithmOf(oid, digest string) x509.SignatureAlgorithm {
	bound := map[string]x509.SignatureAlgorithm{
		"1.2.840.113549.1.1.11": x509.SHA256WithRSA, "1.2.840.113549.1.1.12": x509.SHA384WithRSA,
		"1.2.840.113549.1.1.13": x509.SHA512WithRSA, "1.2.840.10045.4.3.2": x509.ECDSAWithSHA256,
		"1.2.840.10045.4.3.3": x509.ECDSAWithSHA384, "1.2.840.10045.4.3.4": x509.ECDSAWithSHA512,
		"1.3.101.112": x509.PureEd25519,
	}
	if found, known := bound[oid]; known {
		return found
	}
	byHash := map[string][3]x509.SignatureAlgorithm{
		oidSHA256: {x509.SHA256WithRSA, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS},
		oidSHA384: {x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS},
		oidSHA512: {x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS},
	}
	switch oid {
	case "1.2.840.113549.1.1.1":
		return byHash[digest][0]
	case "1.2.840.10045.2.1":
		return byHash[digest][1]
	case "1.2.840.113549.1.1.10":
		return byHash[digest][2]
	}
	return x509.UnknownSignatureAlgorithm
}

// verifyStamp returns the time that a token states for a note's text, if it is to be trusted.
func verifyStamp(token []byte, text string, roots []*x509.Certificate) (time.Time, error) {
	none := time.Time{}
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	var signed signedData
	if rest, err := asn1.Unmarshal(token, &outer); err != nil || len(rest) > 0 || outer.Type.String() != oidSignedData {
		return none, errors.New("it is no signed data")
	}
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &signed); err != nil || len(rest) > 0 {
		return none, errors.New("its signed data cannot be read")
	}
	if signed.Inside.Type.String() != oidStampInfo || len(signed.Signers) != 1 {
		return none, errors.New("it is no time stamp by one signer")
	}
	var info stampInfo
	if _, err := asn1.Unmarshal(signed.Inside.Content, &info); err != nil || info.Version != 1 {
		return none, errors.New("its time stamp cannot be read")
	}
	imprint := sha256.Sum256([]byte(text))
	if info.Imprint.Hash.Algorithm.String() != oidSHA256 || !bytes.Equal(info.Imprint.Digest, imprint[:]) {
		return none, errors.New("it is for another checkpoint")
	}
	certificates, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		return none, err
	}
	one := signed.Signers[0]
	signer := named(one.Who, certificates)
	if signer == nil {
		return none, errors.New("the signer's certificate is not in it")
	}
	if err := checkAttributes(one, signed.Inside.Content, signer); err != nil {
		return none, err
	}
	message := append([]byte{0x31}, one.Attributes.FullBytes[1:]...)
	algorithm := algorithmOf(one.Algorithm.Algorithm.String(), one.Digest.Algorithm.String())
	if err := signer.CheckSignature(algorithm, message, one.Signature); err != nil {
		return none, err
	}
	return info.At, leads(signer, append(certificates, roots...), roots, info.At)
}

// named finds the signer's certificate by issuer and serial number, or by its key's identifier.
func named(who asn1.RawValue, certificates []*x509.Certificate) *x509.Certificate {
	var by struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	for _, one := range certificates {
		if who.Class == asn1.ClassContextSpecific && who.Tag == 0 {
			if len(one.SubjectKeyId) > 0 && bytes.Equal(one.SubjectKeyId, who.Bytes) {
				return one
			}
		} else if _, err := asn1.Unmarshal(who.FullBytes, &by); err == nil {
			if bytes.Equal(one.RawIssuer, by.Issuer.FullBytes) && one.SerialNumber.Cmp(by.Serial) == 0 {
				return one
			}
		}
	}
	return nil
}

// checkAttributes checks what is signed besides: the content's type and digest, and which certificate signs.
func checkAttributes(one signerInfo, content []byte, signer *x509.Certificate) error {
	found := map[string][]byte{}
	for rest := one.Attributes.Bytes; len(rest) > 0; {
		var next attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &next); err != nil {
			return err
		}
		name := next.Type.String()
		if found[name] != nil {
			return errors.New("a signed attribute is there twice")
		}
		found[name] = next.Values.Bytes
	}
	var kind asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(found[oidContentType], &kind); err != nil || kind.String() != oidStampInfo {
		return errors.New("its signed attributes name no time stamp")
	}
	var digest []byte
	due := digestBy(one.Digest.Algorithm.String(), content)
	if _, err := asn1.Unmarshal(found[oidMessageDigest], &digest); err != nil || due == nil || !bytes.Equal(digest, due) {
		return errors.New("its signed digest is another's")
	}
	var ids struct{ Certificates []certificateID }
	if raw := found[oidSigningCertV2]; raw != nil {
		if _, err := asn1.Unmarshal(raw, &ids); err != nil || len(ids.Certificates) == 0 {
			return errors.New("its signing certificate cannot be read")
		}
		hash := ids.Certificates[0].Hash.Algorithm.String()
		if ids.Certificates[0].Hash.Algorithm == nil {
			hash = oidSHA256
		}
		if due := digestBy(hash, signer.Raw); due == nil || !bytes.Equal(due, ids.Certificates[0].Digest) {
			return errors.New("it names another certificate")
		}
		return nil
	}
	if _, err := asn1.Unmarshal(found[oidSigningCert], &ids); err != nil || len(ids.Certificates) == 0 {
		return errors.New("it names no certificate")
	}
	if sum := sha1.Sum(signer.Raw); !bytes.Equal(sum[:], ids.Certificates[0].Digest) {
		return errors.New("it names another certificate")
	}
	return nil
}

// leads follows issuers from the signer's certificate, which must be for time stamps alone, up to a root.
func leads(signer *x509.Certificate, known, roots []*x509.Certificate, at time.Time) error {
	critical := false
	for _, extension := range signer.Extensions {
		critical = critical || extension.Id.String() == "2.5.29.37" && extension.Critical
	}
	alone := len(signer.ExtKeyUsage) == 1 && signer.ExtKeyUsage[0] == x509.ExtKeyUsageTimeStamping
	if !critical || !alone || len(signer.UnknownExtKeyUsage) > 0 {
		return errors.New("the signer's certificate is not for time stamps alone")
	}
	here := signer
	for depth := 0; depth < longestChain; depth++ {
		second := at.Truncate(time.Second)
		if second.Before(here.NotBefore) || second.After(here.NotAfter) {
			return errors.New("a certificate was not valid then")
		}
		for _, root := range roots {
			if here.Equal(root) {
				return nil
			}
		}
		var above *x509.Certificate
		for _, one := range known {
			limited := one.MaxPathLen >= 0 && (one.MaxPathLen > 0 || one.MaxPathLenZero) && one.MaxPathLen < depth
			if !one.Equal(here) && bytes.Equal(one.RawSubject, here.RawIssuer) && !limited && here.CheckSignatureFrom(one) == nil {
				above = one
				break
			}
		}
		if above == nil {
			break
		}
		here = above
	}
	return errors.New("its certificate leads to none of the roots that are held")
}
