# {name}; written by `pocdeploy init`, yours to change. Built without a network.
#
# The context holds the application, patched, and wheels/: the pinned wheels of its requirements, and pip's own.
ARG BASE_IMAGE=python:3.13-slim-trixie

# Packages change seldom: they are installed before the application is looked at.
FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY wheels wheels/
RUN PYTHONPATH="$(ls wheels/pip-*.whl)" PIP_ROOT_USER_ACTION=ignore python3 -m pip install \
        --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-index --find-links wheels --only-binary :all: \
        --target /srv/packages --requirement wheels/requirements.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /srv/packages \
    && chmod -R u=rwX,go=rX /srv/packages

FROM packages AS app
{path}
WORKDIR /srv/app
COPY . ./
RUN rm -rf wheels
{build}

FROM ${BASE_IMAGE}
{path}
{environment}
# By number: Kubernetes cannot tell whether a name is root's.
USER 10001:10001
WORKDIR /srv/app
EXPOSE {port}
COPY --from=packages /srv/packages /srv/packages
COPY --from=app /srv/app /srv/app
{folders}
CMD {cmd}
