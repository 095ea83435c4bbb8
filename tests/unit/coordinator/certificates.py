"""Certificate authorities for tests, made with the openssl program."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

OPENSSL = shutil.which("openssl")


def openssl(*arguments: str, folder: Path) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
        "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", folder=folder,
    )  # fmt: skip


def certificate(
    folder: Path, name: str, issuer: str, *, host: str = "127.0.0.1", days: tuple[int, int] = (-1, 30)
) -> None:
    """Issue a certificate valid from `days[0]` to `days[1]` days from now."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", folder=folder)  # fmt: skip
    kind = "IP" if host[0].isdigit() else "DNS"
    stamps = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * 86_400)) for day in days]
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
        f"unique_subject=no\ncopy_extensions=none\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\n"
        f"subjectAltName={kind}:{host}\n"
    )
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    options = ["-batch", "-config", "ca.cnf", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
    times = ["-startdate", stamps[0], "-enddate", stamps[1]]
    openssl("ca", *options, *times, "-in", f"{name}.csr", "-out", f"{name}.pem", folder=folder)


def revoked(folder: Path, name: str, issuer: str) -> None:
    """Write `crl.pem`, the issuer's list with the certificate that was made last, `name`, on it."""
    files = ["-config", "ca.cnf", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
    openssl("ca", *files, "-revoke", f"{name}.pem", folder=folder)
    openssl("ca", *files, "-gencrl", "-crldays", "30", "-out", "crl.pem", folder=folder)
