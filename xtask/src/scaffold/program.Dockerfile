# {name}; written by `pocdeploy init`, yours to change. Built without a network.
#
# The context holds the application, patched, and artifacts/: its programs, which this machine's own compiler made.
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS app
WORKDIR /srv/app
COPY . ./
RUN rm -rf artifacts
COPY artifacts/bin bin/

{bases}
# By number: Kubernetes cannot tell whether a name is root's.
USER 10001:10001
WORKDIR /srv/app
EXPOSE {port}
COPY --from=app /srv/app /srv/app
CMD {cmd}
