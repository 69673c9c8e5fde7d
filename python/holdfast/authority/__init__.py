"""Acting as a CA, on the machine that holds its key: roots, intermediates, devices, requests, proofs of possession.

```python
key = generate_key()
root = make_root(subject=subject_named("Company-X Root"), key=key, at=now)       # write root.pem and key_to_pem(key)
request = read_request(csr_bytes)                                                 # checks the request's own signature
factory = sign_intermediate(root, request, path_len=1, at=now)                    # hand back factory.pem
```

Every private key stays where it was made: only requests and certificates travel. Times are aware datetimes, given by
the caller. What is refused is an `IssuanceError`; where the engine refuses, with the engine's code.
`holdfast.files.NewFiles` writes as the command line does: all or nothing, and never over another file.
"""

from holdfast.authority.certificate import Issued
from holdfast.authority.issue import Extras, issue_devices, make_root, sign_intermediate
from holdfast.authority.issuer import Issuer, load_issuer
from holdfast.authority.keys import KeyAlgorithm, PrivateKey, generate_key, key_to_pem, read_key
from holdfast.authority.names import DeviceIds, check_device_id, device_id_of, parse_subject, subject_named
from holdfast.authority.profile import Profile
from holdfast.authority.prove import Signature, prove_by_certificate, prove_by_signature
from holdfast.authority.requests import Request, make_request, read_request, request_by_holder

__all__ = [
    "DeviceIds",
    "Extras",
    "Issued",
    "Issuer",
    "KeyAlgorithm",
    "PrivateKey",
    "Profile",
    "Request",
    "Signature",
    "check_device_id",
    "device_id_of",
    "generate_key",
    "issue_devices",
    "key_to_pem",
    "load_issuer",
    "make_request",
    "make_root",
    "parse_subject",
    "prove_by_certificate",
    "prove_by_signature",
    "read_key",
    "read_request",
    "request_by_holder",
    "sign_intermediate",
    "subject_named",
]
