"""The Hugging Face Hub's HTTP API, in memory on 127.0.0.1, for tests.

A stand-in, written from the requests that huggingface_hub 2.4.0 makes; it is
not the Hub, and no test asks the Hub. Its routes:

POST /api/repos/create                        `create_repo`
GET  /api/models/NAME[/revision/REV]          `model_info`
POST /api/validate-yaml                       `create_commit`, of README.md
POST /api/models/NAME/preupload/REV           `create_commit`
POST /NAME.git/info/lfs/objects/batch         the same, Git LFS's batch API
PUT  /lfs/SHA256                              the same, "basic" transfer
POST /api/models/NAME/commit/REV              `create_commit`, NDJSON
HEAD, GET /NAME/resolve/REV/FILE              `hf_hub_download`
GET  /api/agent-harnesses                     for the client's User-Agent

Other requests get 501 and are recorded in `refused`. The Hub itself transfers
large files by Xet, whose client is compiled; `environment` switches it off, so
that huggingface_hub uses Git LFS.

    with HubServer() as server:
      subprocess.run(..., env=os.environ | server.environment)
"""

import base64
import hashlib
import http.server
import json
import re
import threading
from urllib.parse import unquote, urlsplit

TOKEN = "hf_token_of_these_tests"
NAME = "([^/]+/[^/]+)"


class Refused(Exception):
  def __init__(self, status: int, code: str, **more: str):
    super().__init__(code)
    self.status, self.code, self.more = status, code, more


class HubServer:
  """A hub with one user, `me`.

  Attributes:
    repositories: Name -> {"private": bool, "commits": {sha: {file: content}}}.
    requests: "METHOD path" of each request.
    refused: Those without a route.
    answer: (status, X-Error-Code) of all requests from now on; None: as usual.
  """

  def __init__(self):
    self.repositories, self.requests, self.refused = {}, [], []
    self.answer = None
    self._objects = {}  # of Git LFS, by SHA-256

  def __enter__(self):
    handler = type("Handler", (_Handler,), {"hub": self})
    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    self._server.daemon_threads = True
    self._thread = threading.Thread(
      target=self._server.serve_forever, args=(0.01,)
    )
    self._thread.start()
    self.url = f"http://127.0.0.1:{self._server.server_port}"
    return self

  def __exit__(self, *exception):
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()

  @property
  def environment(self):
    return {
      "HF_ENDPOINT": self.url,
      "HF_TOKEN": TOKEN,
      "HF_HUB_DISABLE_XET": "1",
    }

  def files(self, name, revision="main"):
    """Content by name of a revision: main, or a commit."""
    commits = self.repositories[name]["commits"]
    if revision == "main":
      return commits[next(reversed(commits))] if commits else {}
    if revision not in commits:
      raise Refused(404, "RevisionNotFound")
    return commits[revision]

  def commit(self, name, files, private=False):
    """Adds a commit of some files to the others; returns its SHA."""
    empty = {"private": private, "commits": {}}
    commits = self.repositories.setdefault(name, empty)["commits"]
    sha = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
    commits[sha] = self.files(name) | files
    return sha

  def create(self, body, _):
    name = f"{body.get('organization') or 'me'}/{body['name']}"
    if not name.startswith("me/"):
      raise Refused(403, "Forbidden")
    if name in self.repositories:
      raise Refused(409, "Conflict", url=f"{self.url}/{name}")
    is_private = body.get("visibility") == "private" or body.get("private")
    private = bool(is_private)
    self.repositories[name] = {"private": private, "commits": {}}
    return {"url": f"{self.url}/{name}", "id": name}

  def info(self, _, token, name, revision="main"):
    private = self._readable(name, token)["private"]
    commits = self.repositories[name]["commits"]
    files = self.files(name, revision)
    last = next(reversed(commits), None)
    return {
      "id": name,
      "sha": last if revision == "main" else revision,
      "private": private,
      "siblings": [{"rfilename": file} for file in files],
    }

  def harnesses(self, _, token):
    return {"standardEnvVars": [], "harnesses": {}}

  def validate(self, body, _):
    if not body["content"].startswith("---\n"):
      raise Refused(400, "BadRequest")
    return {"errors": [], "warnings": []}

  def preupload(self, body, _, name, revision):
    mode = lambda path: "lfs" if path.endswith(".safetensors") else "regular"
    return {
      "files": [
        {
          "path": x["path"],
          "uploadMode": mode(x["path"]),
          "shouldIgnore": False,
        }
        for x in body["files"]
      ]
    }

  def batch(self, body, _, name):
    upload = lambda oid: {"upload": {"href": f"{self.url}/lfs/{oid}"}}
    return {
      "transfer": "basic",
      "objects": [x | {"actions": upload(x["oid"])} for x in body["objects"]],
    }

  def put(self, body, _, oid):
    if hashlib.sha256(body).hexdigest() != oid:
      raise Refused(400, "BadRequest")
    self._objects[oid] = body
    return {}

  def add(self, body, _, name, revision):
    files = {}
    for line in body.splitlines():
      item = json.loads(line)
      value = item["value"]
      if item["key"] == "file":
        files[value["path"]] = base64.b64decode(value["content"])
      elif item["key"] == "lfsFile":
        files[value["path"]] = self._objects[value["oid"]]
    sha = self.commit(name, files)
    return {"commitUrl": f"{self.url}/{name}/commit/{sha}", "commitOid": sha}

  def resolve(self, _, token, name, revision, file):
    self._readable(name, token)
    found = self.files(name, revision)
    if file not in found:
      raise Refused(404, "EntryNotFound")
    return found[file], self.info(None, token, name, revision)["sha"]

  def _readable(self, name, token):
    found = self.repositories.get(name)
    if found is None or (found["private"] and token != TOKEN):
      raise Refused(404 if token == TOKEN else 401, "RepoNotFound")
    return found


ROUTES = [
  ("POST", r"/api/repos/create", HubServer.create),
  ("GET", r"/api/agent-harnesses", HubServer.harnesses),
  ("GET", f"/api/models/{NAME}", HubServer.info),
  ("GET", f"/api/models/{NAME}/revision/(.+)", HubServer.info),
  ("POST", r"/api/validate-yaml", HubServer.validate),
  ("POST", f"/api/models/{NAME}/preupload/(.+)", HubServer.preupload),
  ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", HubServer.batch),
  ("PUT", r"/lfs/(\w+)", HubServer.put),
  ("POST", f"/api/models/{NAME}/commit/(.+)", HubServer.add),
  ("GET", f"/{NAME}/resolve/([^/]+)/(.+)", HubServer.resolve),
  ("HEAD", f"/{NAME}/resolve/([^/]+)/(.+)", HubServer.resolve),
]


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  hub: HubServer

  def _serve(self):
    size = int(self.headers.get("Content-Length", 0))
    body, path = self.rfile.read(size), unquote(urlsplit(self.path).path)
    token = self.headers.get("Authorization", "").removeprefix("Bearer ")
    self.hub.requests.append(f"{self.command} {path}")
    try:
      self._send(*self._answer(path, body, token))
    except Refused as error:
      content = json.dumps({"error": error.code} | error.more).encode()
      headers = {"X-Error-Code": error.code, "X-Error-Message": error.code}
      self._send(error.status, content, headers)

  do_GET = do_HEAD = do_POST = do_PUT = _serve

  def _answer(self, path, body, token):
    if self.hub.answer:
      raise Refused(*self.hub.answer)
    found = [
      (route, match.groups())
      for method, pattern, route in ROUTES
      if method == self.command and (match := re.fullmatch(pattern, path))
    ]
    if not found:
      self.hub.refused.append(f"{self.command} {path}")
      raise Refused(501, "NotImplemented")
    ((route, groups),) = found
    if self.command == "POST" and token != TOKEN:
      raise Refused(401, "Unauthorized")
    if self.command == "POST" and route is not HubServer.add:
      body = json.loads(body)
    found = route(self.hub, body, token, *groups)
    if route is not HubServer.resolve:
      return 200, json.dumps(found).encode(), {}
    content, commit = found
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    return 200, content, {"ETag": etag, "X-Repo-Commit": commit}

  def _send(self, status, content, headers):
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    if self.command != "HEAD":
      self.wfile.write(content)

  def log_message(self, *arguments):
    pass
