module pocdeploy.local/images/traefik

go 1.26.4

require (
	github.com/abbot/go-http-auth v0.4.0
	github.com/go-acme/lego/v5 v5.4.1
	github.com/traefik/traefik/v3 v3.7.13
	sigs.k8s.io/gateway-api v1.6.1
)

replace github.com/traefik/traefik/dynamic/ext => ./ext
