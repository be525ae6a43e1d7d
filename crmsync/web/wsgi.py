"""The receiver as a WSGI application, made from the environment: `gunicorn crmsync.web.wsgi:app`."""

import atexit

from crmsync.services import services
from crmsync.web import create_app
from crmsync.worker.lookout import Lookout
from crmsync.worker.watch import look_out

services().go_live()  # the first start is the go-live instant, where none is configured
app = create_app(services())
atexit.register(app.extensions["crmsync_refusals"].flush)
Lookout(look_out).start()
