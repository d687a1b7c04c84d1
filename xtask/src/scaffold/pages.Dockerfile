# {name}, built by Node.js; written by `pocdeploy init`, yours to change. Built without a network.
#
# The context holds the application, patched, artifacts/ with Node.js and a cache of the locked packages, and wheels/ with the server's.
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS pages
ENV PATH=/opt/artifacts/bin:$PATH CI=true
{packages}
COPY artifacts /opt/artifacts/
WORKDIR /srv/app
{install}
COPY . ./
RUN rm -rf artifacts wheels
{build}

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY wheels wheels/
RUN PYTHONPATH="$(ls wheels/pip-*.whl)" PIP_ROOT_USER_ACTION=ignore python3 -m pip install \
        --quiet --disable-pip-version-check --no-cache-dir --no-index --find-links wheels --only-binary :all: \
        --target /srv/packages --requirement wheels/requirements.txt \
    && chmod -R u=rwX,go=rX /srv/packages

FROM ${BASE_IMAGE}
ENV PYTHONPATH=/srv/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PORT=8080 SITE=/srv/site HOME=/tmp
USER 10001:10001
WORKDIR /srv
EXPOSE {port}
COPY --from=packages /srv/packages /srv/packages
COPY --from=pages /srv/app/pocdeploy_site.py ./
COPY --from=pages /srv/app/{site} /srv/site
CMD {cmd}
