"""The receiver as a WSGI application, made from the environment: `gunicorn crmsync.web.wsgi:app`."""

import atexit

from crmsync.errors import CrmsyncError
from crmsync.start import give_up, prepared
from crmsync.web.app import create_app
from crmsync.worker.lookout import Lookout
from crmsync.worker.watch import look_out

DOES_NOT_LOAD = 4  # what gunicorn takes for: do not try again

try:
    services = prepared()
    services.go_live()  # the first start is the go-live instant, where none is configured
except CrmsyncError as error:
    give_up(error, DOES_NOT_LOAD)
app = create_app(services)
atexit.register(app.extensions["crmsync_refusals"].flush)
atexit.register(app.extensions["crmsync_enqueuer"].flush)
Lookout(look_out).start()
