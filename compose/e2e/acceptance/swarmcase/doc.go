// Package swarmcase is the swarm of black-box cases that say in steps what there is in it:
// services, tasks and nodes, and how the Docker API fails. It answers as the API of a
// manager, in the shape of recorded answers.
//
//	["service", {...}]           it is made, or changed in the fields that are named; see Service
//	["tasks", service, [{...}]]  these are its tasks until it goes; see Task
//	["remove", service], ["recreate", {...}]
//	["node", {...}], ["remove_node", id]
//	["docker", {...}]            how the API fails from now on; see Faults
//
// Forms of cases take these steps into theirs with Steps.
package swarmcase
