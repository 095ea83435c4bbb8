#!/bin/sh
# Makes a certificate authority and starts a mosquitto that wants a password, as docs/coordinator.md has it; $1: port.
set -e
mkdir /root/desk && cd /root/desk
new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
# shellcheck disable=SC2086
openssl req -x509 $new_key -days 2 -subj /CN=desk -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem
# shellcheck disable=SC2086
openssl req $new_key -subj /CN=localhost -keyout broker.key -out broker.csr
printf 'subjectAltName=DNS:localhost\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' > names
openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.pem
echo desks-own > desk.password
mosquitto_passwd -c -b passwords desk desks-own
cat > acl <<END
user desk
topic readwrite fabunit/v1/#

pattern write fabunit/v1/%u/up/#
pattern write fabunit/v1/%u/state/#
pattern read fabunit/v1/%u/down/#
END
cat > broker.conf <<END
listener $1 127.0.0.1
cafile /root/desk/ca.pem
certfile /root/desk/broker.pem
keyfile /root/desk/broker.key
allow_anonymous false
password_file /root/desk/passwords
acl_file /root/desk/acl
set_tcp_nodelay true
user root
END
systemd-run --quiet --unit=broker mosquitto -c /root/desk/broker.conf
