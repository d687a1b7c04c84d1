module pocdeploy.local/images/mailpit

go 1.25.0

require github.com/axllent/mailpit v1.30.5
