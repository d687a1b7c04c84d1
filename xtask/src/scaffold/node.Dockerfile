# {name}; written by `pocdeploy init`, yours to change. Built without a network.
#
# The context holds the application, patched, and artifacts/: Node.js, the package manager, and a cache of the locked packages.
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS app
ENV PATH=/opt/artifacts/bin:$PATH CI=true
{packages}
COPY artifacts /opt/artifacts/
WORKDIR /srv/app
{install}
COPY . ./
RUN rm -rf artifacts
{build}
{prune}

FROM ${BASE_IMAGE}
ENV PATH=/srv/app/node_modules/.bin:$PATH NODE_ENV=production HOME=/tmp
COPY --from=app /opt/artifacts/bin/node /usr/local/bin/node
# By number: Kubernetes cannot tell whether a name is root's.
USER 10001:10001
WORKDIR /srv/app
EXPOSE {port}
COPY --from=app /srv/app{result} /srv/app
CMD {cmd}
