// What the clients need to connect over TLS, from the files in PINFOLD_TLS_CA, _CERT and _KEY; undefined: they connect without.
import { readFileSync } from 'node:fs';

const { PINFOLD_TLS_CA: ca, PINFOLD_TLS_CERT: cert, PINFOLD_TLS_KEY: key } = process.env;
export const tls = ca && { ca: readFileSync(ca), ...(cert && { cert: readFileSync(cert), key: readFileSync(key) }) };
